import type { Genome } from './genome.ts';

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
const FIRST_SIZE = 1 << 12;

/** Things by their genomes, each genome once: a map that needs no text of a genome as its key. */
export class GenomeIndex<T extends { readonly genome: Genome }> {
  readonly #all: T[] = [];
  /** Open addressing, linear probing: places in the list, from 1; 0 is an empty slot. */
  #slots = new Int32Array(FIRST_SIZE);
  /** Of the slots' genomes: most that differ are told apart without a look at them. */
  #hashes = new Int32Array(FIRST_SIZE);

  find(genome: Genome): T | undefined {
    const mask = this.#slots.length - 1;
    const hash = hashOf(genome);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const place = this.#slots[slot] ?? 0;
      if (place === 0) return undefined;
      if (this.#hashes[slot] !== hash) continue;
      const one = this.#all[place - 1];
      if (one !== undefined && areEqual(one.genome, genome)) return one;
    }
  }

  /** Adds what has a new genome: the caller has not found it. */
  add(one: T): void {
    this.#all.push(one);
    if (2 * this.#all.length > this.#slots.length) this.#grow();
    this.#put(hashOf(one.genome), this.#all.length);
  }

  #put(hash: number, place: number): void {
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = place;
    this.#hashes[slot] = hash;
  }

  #grow(): void {
    const [slots, hashes] = [this.#slots, this.#hashes];
    this.#slots = new Int32Array(4 * slots.length);
    this.#hashes = new Int32Array(4 * slots.length);
    for (const [slot, place] of slots.entries()) if (place > 0) this.#put(hashes[slot] ?? 0, place);
  }
}

/** FNV-1a (Fowler, Noll and Vo 1991), its upper bits mixed into the lower ones. */
function hashOf(genome: Genome): number {
  let hash = FNV_OFFSET;
  for (let place = 0; place < genome.length; place += 1) {
    hash = Math.imul(hash ^ (genome[place] ?? 0), FNV_PRIME);
  }
  return hash ^ (hash >>> 15);
}

function areEqual(a: Genome, b: Genome): boolean {
  for (let place = 0; place < a.length; place += 1) if (a[place] !== b[place]) return false;
  return true;
}

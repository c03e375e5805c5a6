import type { Genome } from './genome.ts';

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
const FIRST_SIZE = 1 << 12;

/** Things by their genomes, each genome once: a map that needs no text of a genome as its key. */
export class GenomeIndex<T extends { readonly genome: Genome }> {
  #slots: (T | undefined)[] = Array.from({ length: FIRST_SIZE });
  #size = 0;

  find(genome: Genome): T | undefined {
    return this.#slots[this.#slotOf(genome)];
  }

  /** Adds what has a new genome; says whether it has. */
  add(one: T): boolean {
    const slot = this.#slotOf(one.genome);
    if (this.#slots[slot] !== undefined) return false;
    this.#slots[slot] = one;
    this.#size += 1;
    if (2 * this.#size > this.#slots.length) this.#grow();
    return true;
  }

  /** The genome's slot, or the empty one where it belongs: open addressing, linear probing. */
  #slotOf(genome: Genome): number {
    const mask = this.#slots.length - 1;
    let slot = hashOf(genome) & mask;
    for (let one = this.#slots[slot]; one !== undefined && !areEqual(one.genome, genome); ) {
      slot = (slot + 1) & mask;
      one = this.#slots[slot];
    }
    return slot;
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = Array.from({ length: 4 * before.length });
    for (const one of before) if (one !== undefined) this.#slots[this.#slotOf(one.genome)] = one;
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

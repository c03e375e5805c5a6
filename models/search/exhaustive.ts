import type { Genome, Landscape } from './genome.ts';

/** How many different networks there are to choose from; infinite where a double cannot say. */
export function networkCount({ settings, choices, depths, stages }: Landscape): number {
  const ofStage = depths.reduce((sum, depth) => sum + choices.length ** depth, 0);
  return settings.length * ofStage ** stages;
}

/** Every network once: only for landscapes of few. */
export function everyGenome(landscape: Landscape): Genome[] {
  const { settings, choices, depths, stages, perStage, blocks } = landscape;
  const ofStage = depths.flatMap((depth) =>
    sequences(choices.length, depth).map((sequence) => ({ depth, sequence })),
  );
  let genomes: Genome[] = [...settings.keys()].map((setting) => {
    const genome: Genome = new Uint16Array(1 + stages + blocks);
    genome[0] = setting;
    return genome;
  });
  for (let stage = 0; stage < stages; stage += 1) {
    genomes = genomes.flatMap((genome) =>
      ofStage.map(({ depth, sequence }) => {
        const copy: Genome = Uint16Array.from(genome);
        copy[1 + stage] = depth;
        copy.set(sequence, 1 + stages + stage * perStage);
        return copy;
      }),
    );
  }
  return genomes;
}

/** Every sequence of `length` numbers below `count`. */
function sequences(count: number, length: number): number[][] {
  let all: number[][] = [[]];
  for (let place = 0; place < length; place += 1) {
    all = all.flatMap((sequence) => Array.from({ length: count }, (_, value) => [...sequence, value]));
  }
  return all;
}

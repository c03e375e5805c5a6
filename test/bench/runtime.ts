import { policyOf } from '../../agent/runtime/policies/registry.ts';
import { replay } from '../../agent/simulate/replay.ts';
import type { Bench, Figure } from './report.ts';
import { decideFigures } from './runtime-decide.ts';
import { memoryFigures } from './runtime-memory.ts';
import { realRunFigures } from './runtime-real.ts';
import { simulationFigures } from './runtime-simulation.ts';
import { switchFigures } from './runtime-switch.ts';

/** The parts of the bench, in the order in which they are measured. */
const PARTS: Readonly<Record<string, () => Promise<Figure[]>>> = {
  decide: decideFigures,
  simulation: simulationFigures,
  real: () => realRunFigures({ startPolicy: policyOf('ofa').start, replay }),
  memory: memoryFigures,
  switch: switchFigures,
};

/** What the runtime manager is worth, simulated and real, and what it costs. */
export const runtimeBench: Bench = {
  summary: 'the runtime manager against published policies and oracles, and what it costs',
  parts: PARTS,
  measure: async () => {
    const figures: Figure[] = [];
    for (const part of Object.values(PARTS)) figures.push(...(await part()));
    return figures;
  },
};

import type { Bench, Figure } from './report.ts';
import { egressFigures } from './rollout-egress.ts';
import { recipeFigures } from './rollout-recipe.ts';
import { fleetFigures } from './rollout-speed.ts';
import { swapFigures } from './rollout-swap.ts';
import { transferFigures } from './rollout-transfer.ts';

/** The parts of the bench, in the order in which they are measured. */
const PARTS: Readonly<Record<string, () => Promise<Figure[]>>> = {
  egress: egressFigures,
  recipe: recipeFigures,
  transfer: transferFigures,
  fleet: fleetFigures,
  swap: swapFigures,
};

/** What an update costs: the controller's line, the time until a fleet has it, the frames of the device. */
export const rolloutBench: Bench = {
  summary:
    'updates: bytes that the controller sends, speed of a transfer, of a fleet, and frames lost by a swap',
  parts: PARTS,
  measure: async () => {
    const figures: Figure[] = [];
    for (const part of Object.values(PARTS)) figures.push(...(await part()));
    return figures;
  },
};

import { join } from 'node:path';
import Type from 'typebox';
import { invariant } from '../../shared/errors.ts';
import { readFamily } from '../../shared/family/read.ts';
import { readWhole } from '../../shared/files.ts';
import { packageRoot } from '../../shared/package.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { OperatingPoint, Profile } from '../runtime/points.ts';
import { TraceSchema } from './trace.ts';

/** Power of a Jetson Xavier NX under load in its 10 W mode: where nothing is measured, energy is this by latency. */
const STATED_POWER_W = 10;

/** The GPU family of Dynamic-OFA's publication on a Jetson Xavier NX: top-1 and latency of Figure 3. */
const JETSON_GPU: readonly (readonly [accuracy: number, latencyMs: number])[] = [
  [0.74202, 41.16],
  [0.74968, 45.42],
  [0.76134, 49.44],
  [0.7754, 51.08],
  [0.78346, 56.75],
  [0.7903, 61.73],
];

/** The CPU family of the same publication, read from Figure 4b. */
const JETSON_CPU: readonly (readonly [accuracy: number, latencyMs: number])[] = [
  [0.725, 500],
  [0.763, 680],
  [0.771, 875],
  [0.774, 1_170],
  [0.781, 1_560],
  [0.784, 1_640],
  [0.785, 1_860],
];

/** Levels that come with the program, by name. */
export const LEVEL_NAMES = ['jetson-gpu', 'jetson-cpu', 'bundled'] as const;

/** Frames come so often, and have so long, relative to the slowest level: 66.7 ms where that takes 61.73. */
const SLACK = 66.7 / 61.73;

const ADMITTED = parserOf(
  Type.Array(
    Type.Object({
      accuracy: Type.Number({ minimum: 0, maximum: 1 }),
      latencyMs: Type.Number({ exclusiveMinimum: 0, maximum: 3_600_000 }),
      energyJ: Type.Optional(Type.Number({ minimum: 0 })),
      pe: TraceSchema.properties.levels.items.properties.pe,
    }),
    { minItems: 1, maxItems: 256 },
  ),
);
const MAX_LEVELS_BYTES = 1024 * 1024;

/**
 * Levels to simulate, with their energy modelled as 10 W over the latency where the source states none.
 * @param source one of `LEVEL_NAMES` (`bundled`: the family that comes with the program, as it was measured where
 * it was built), or a JSON file: a list of `{"accuracy", "latencyMs", "energyJ"?, "pe"?}`
 * @throws AppError `not-found` or `invalid` naming the file and what is wrong in it
 */
export async function loadLevels(source: string): Promise<Profile> {
  if (source === 'jetson-gpu') return tableProfile(JETSON_GPU, 'gpu');
  if (source === 'jetson-cpu') return tableProfile(JETSON_CPU, 'cpu');
  if (source === 'bundled') return await bundledProfile();
  const text = new TextDecoder().decode(await readWhole(source, MAX_LEVELS_BYTES));
  const levels = parseJson(text, ADMITTED, source);
  return levels.map(({ pe = 'cpu', ...rest }, level) => withEnergy({ pe, level, ...rest }));
}

/** Period and deadline of simulated frames, milliseconds: 1.0805 times the slowest level. */
export function slotMsOf(profile: Profile): number {
  return SLACK * Math.max(...profile.map(({ latencyMs }) => latencyMs));
}

async function bundledProfile(): Promise<Profile> {
  const { manifest } = await readFamily(join(packageRoot(), 'models', 'families', 'fashion-mnist'));
  const profile = manifest.levels.flatMap(({ accuracy, latencyMs }, level) =>
    latencyMs === undefined ? [] : [withEnergy({ pe: 'cpu', level, accuracy, latencyMs })],
  );
  invariant(profile.length > 0, 'the bundled family states latencies');
  return profile;
}

function tableProfile(
  table: readonly (readonly [accuracy: number, latencyMs: number])[],
  pe: OperatingPoint['pe'],
): Profile {
  return table.map(([accuracy, latencyMs], level) => withEnergy({ pe, level, accuracy, latencyMs }));
}

function withEnergy(point: OperatingPoint): OperatingPoint {
  return { ...point, energyJ: point.energyJ ?? (STATED_POWER_W * point.latencyMs) / 1_000 };
}

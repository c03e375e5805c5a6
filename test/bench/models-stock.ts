import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  type Architecture,
  extremeArchitecture,
  writtenArchitecture,
} from '../../models/ofa/architecture.ts';
import { type Backbone, writeBackbone } from '../../models/ofa/backbone.ts';
import { extractSubNetwork } from '../../models/ofa/extract.ts';
import { floatModel } from '../../models/ofa/graph/float-model.ts';
import { specOf } from '../../models/ofa/space.ts';
import { mobileNetV3Space } from '../../models/ofa/spaces.ts';
import {
  createSession,
  createSessionFromBytes,
  type Session,
  servingOptions,
  Tensor,
} from '../../shared/onnx.ts';
import { packageRoot } from '../../shared/package.ts';
import { median } from '../../shared/statistics.ts';
import { bundledBackbone } from '../support/bundled.ts';
import { randomBackbone } from '../support/random-backbone.ts';
import { greatestDifference } from '../support/run-model.ts';
import { type Figure, judged } from './report.ts';

const run = promisify(execFile);

/** Debian's, whatever stands first on the path. */
const PYTHON = '/usr/bin/python3';
const SCRIPT = join(packageRoot(), 'test/support/stock_export.py');
const BAR = 0.85;
const ROUNDS = 60;
const WARM_UP = 5;
/** Both are the same network: what differs is rounding. */
const SAME_LOGITS = 1e-3;

interface Case {
  readonly name: string;
  readonly backbone: Backbone;
  readonly architecture: Architecture;
}

/**
 * Single-inference latency of our graphs relative to those that PyTorch exports of OFA's own modules: the
 * two take turns, one thread each; of each network the ratio of medians, and of these the median.
 */
export async function stockFigures(): Promise<Figure[]> {
  const whole = { name: 'latency_vs_stock_export', unit: 'ratio', better: 'lower', bar: BAR } as const;
  const missing = await missingPython();
  if (missing !== undefined) return [{ ...whole, value: null, reason: missing }];
  const folder = await mkdtemp(join(tmpdir(), 'ofa-bench-'));
  try {
    const ratios: Figure[] = [];
    for (const each of await cases()) {
      const value = await ratioOf(each, await stockExport(each, folder));
      ratios.push({ name: `latency_vs_stock_${each.name}`, value, unit: 'ratio', better: 'lower' });
    }
    return [judged({ ...whole, value: median(ratios.map(({ value }) => value ?? Number.NaN)) }), ...ratios];
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function missingPython(): Promise<string | undefined> {
  return await run(PYTHON, ['-c', 'import torch']).then(
    () => undefined,
    () => `${PYTHON} has no torch: install Debian's python3-torch`,
  );
}

async function cases(): Promise<Case[]> {
  const imagenet = randomBackbone(mobileNetV3Space({ widthMultiplier: 1 }), 1);
  const clothes = await bundledBackbone();
  const of = (backbone: Backbone, name: string, which: 'smallest' | 'largest', r: number): Case => ({
    name,
    backbone,
    architecture: { ...extremeArchitecture(backbone.space, which), r },
  });
  return [
    of(imagenet, 'w1.0_smallest_128', 'smallest', 128),
    of(imagenet, 'w1.0_smallest_224', 'smallest', 224),
    of(imagenet, 'w1.0_largest_224', 'largest', 224),
    of(clothes, 'fashion_smallest_28', 'smallest', 28),
    of(clothes, 'fashion_largest_28', 'largest', 28),
  ];
}

async function stockExport({ name, backbone, architecture }: Case, parent: string): Promise<string> {
  const folder = join(parent, name);
  const path = (file: string): string => join(folder, file);
  await mkdir(folder);
  await writeFile(path('backbone.safetensors'), writeBackbone(backbone));
  await writeFile(path('space.json'), JSON.stringify(specOf(backbone.space)));
  await writeFile(path('arch.json'), JSON.stringify(writtenArchitecture(architecture)));
  await run(PYTHON, [
    SCRIPT,
    ...['--weights', path('backbone.safetensors'), '--space', path('space.json')],
    ...['--arch', path('arch.json'), '--out', path('stock.onnx')],
  ]);
  return path('stock.onnx');
}

async function ratioOf({ backbone, architecture }: Case, stockPath: string): Promise<number> {
  const options = servingOptions(['cpu'], 1);
  const model = floatModel(extractSubNetwork(backbone, architecture), { type: 'float32' });
  const sessions = [await createSessionFromBytes(model, options), await createSession(stockPath, options)];
  const shape = [1, backbone.space.inChannels, architecture.r, architecture.r];
  const size = shape.reduce((product, dimension) => product * dimension, 1);
  const image = new Tensor(
    'float32',
    Float32Array.from({ length: size }, (_, index) => Math.sin(index)),
    shape,
  );
  const [ours, stock] = await timeInTurns(sessions, image);
  for (const session of sessions) await session.release();
  return median(ours ?? []) / median(stock ?? []);
}

/** @throws Error when the sessions do not compute the same */
async function timeInTurns(sessions: readonly Session[], image: Tensor): Promise<number[][]> {
  const timesMs: number[][] = sessions.map(() => []);
  const logits: Float32Array[] = [];
  for (let round = -WARM_UP; round < ROUNDS; round += 1) {
    for (const [index, session] of sessions.entries()) {
      const startMs = performance.now();
      const outputs = await session.run({ [session.inputNames[0] ?? '']: image });
      if (round >= 0) timesMs[index]?.push(performance.now() - startMs);
      logits[index] = outputs[session.outputNames[0] ?? '']?.data as Float32Array;
    }
  }
  const [ours = new Float32Array(), stock = new Float32Array()] = logits;
  if (greatestDifference(ours, stock) > SAME_LOGITS)
    throw new Error('the stock export computes something else');
  return timesMs;
}

import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { readCheckpoint } from '../../models/checkpoint/read.ts';
import { backboneOf } from '../../models/ofa/backbone.ts';
import { type SpaceSpec, specOf } from '../../models/ofa/space.ts';
import { mobileNetV3Space } from '../../models/ofa/spaces.ts';
import { formulaInput } from '../support/ofa-input.ts';
import {
  type ReferenceArchitecture,
  type ReferenceSubNetwork,
  referenceJson,
} from '../support/ofa-reference.ts';
import { referencePath, testWithReference } from '../support/reference.ts';
import { greatestDifference, runModel } from '../support/run-model.ts';
import { temporaryFolder } from '../support/temp.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const TRAIN = join(ROOT, 'models/train/train.py');
const EVALUATE = join(ROOT, 'models/train/evaluate.py');
const STOCK_EXPORT = join(ROOT, 'test/support/stock_export.py');
/** Debian's, which has Debian's PyTorch; another one may come first in PATH. */
const PYTHON = '/usr/bin/python3';
const DATA = '/usr/share/datasets/fashion-mnist';
const ENVIRONMENT = {
  ...process.env,
  PYTHONDONTWRITEBYTECODE: '1',
  PYTHONPATH: join(ROOT, 'models/train'),
  OMP_NUM_THREADS: '1',
};
const MISSING = whatIsMissing();

/** As small as a space of this shape gets, with every kind of tensor in it. */
const TINY: SpaceSpec = {
  in_channels: 1,
  first: 8,
  first_stride: 2,
  first_block: 8,
  first_block_stride: 1,
  widths: [8, 16],
  strides: [1, 2],
  acts: ['relu', 'h_swish'],
  se: [false, true],
  final_expand: 16,
  last: 16,
  n_classes: 10,
  ks: [3, 5, 7],
  e: [2, 3],
  d: [1, 2],
  resolutions: [12, 16],
  mean: 0.286,
  std: 0.353,
  frame: [28, 28],
};

function whatIsMissing(): string | undefined {
  if (!existsSync(DATA)) return `there is no ${DATA}; install dataset-fashion-mnist`;
  const { status } = spawnSync(PYTHON, ['-c', 'import numpy, torch'], { stdio: 'ignore' });
  return status === 0 ? undefined : `${PYTHON} has no PyTorch; install python3-torch`;
}

/** A test that trains or runs the super-network in PyTorch; it says so where that is not there. */
function torchTest(name: string, body: () => Promise<void>, reference?: string): void {
  if (MISSING !== undefined) test.skip(`${name} [skipped: ${MISSING}]`, () => undefined);
  else if (reference === undefined) test(name, body);
  else testWithReference(reference, name, body);
}

async function python(script: string, ...args: readonly string[]): Promise<string> {
  const options = { env: ENVIRONMENT, maxBuffer: 2 ** 26 };
  return (await promisify(execFile)(PYTHON, [script, ...args], options)).stdout;
}

/** Options of a run with the tiny space, and where its files lie. */
async function tinyRun(folder: string, name: string, ...more: readonly string[]) {
  const space = join(folder, 'space.json');
  await writeFile(space, JSON.stringify(TINY));
  const [out, checkpoint] = [join(folder, `${name}.safetensors`), join(folder, `${name}.checkpoint`)];
  const options = ['--space', space, '--out', out, '--checkpoint', checkpoint];
  return { out, checkpoint, args: [...options, '--train-images', '64', '--batch', '8', ...more] };
}

/** Resolves when training has reported a step. */
async function firstStep(child: ChildProcess): Promise<void> {
  if (child.stderr === null) throw new Error('the process has no pipe');
  for await (const line of createInterface({ input: child.stderr })) {
    if (line.startsWith('step ')) return;
  }
  throw new Error('the process ended before its first step');
}

torchTest('training writes a backbone of its space that the project reads, and judges it', async () => {
  await using folder = await temporaryFolder();
  const { args, out } = await tinyRun(folder.path, 'a', '--steps', '6', '--evaluate', '50');
  const { test_images, sub_networks } = JSON.parse(await python(TRAIN, ...args));
  expect(test_images).toBe(50);
  expect(sub_networks.map(({ name }: { name: string }) => name)).toEqual([
    'k3 e2 d1 r12',
    'k3 e2 d1 r16',
    'k5 e3 d2 r16',
    'k7 e3 d2 r16',
  ]);
  const { space, tensors } = backboneOf(await readCheckpoint(out), { what: out });
  expect(specOf(space)).toEqual({ ...TINY, mean: [TINY.mean], std: [TINY.std] });
  for (const [name, { data }] of tensors) expect(data.every(Number.isFinite), name).toBe(true);
  const matrix = tensors.get('blocks.3.conv.depth_conv.conv.7to5_matrix')?.data;
  expect(matrix?.[0]).not.toBe(1);
});

torchTest('a run that SIGTERM stops goes on from its checkpoint and ends in the same bytes', async () => {
  await using folder = await temporaryFolder();
  const options = ['--steps', '40', '--log-every', '1'];
  const whole = await tinyRun(folder.path, 'whole', ...options);
  await python(TRAIN, ...whole.args);
  const parts = await tinyRun(folder.path, 'parts', ...options);
  const child = spawn(PYTHON, [TRAIN, ...parts.args], {
    env: ENVIRONMENT,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = once(child, 'exit');
  await firstStep(child);
  child.kill('SIGTERM');
  expect(await exited).toEqual([128 + 15, null]);
  expect(existsSync(parts.out)).toBe(false);
  await python(TRAIN, ...parts.args);
  const [expected, found] = await Promise.all([readFile(whole.out), readFile(parts.out)]);
  expect(found.equals(expected)).toBe(true);
});

const GRADIENTS = `
import torch
from layers import _depthwise, depthwise

for channels, side, size, stride in [(8, 14, 7, 2), (8, 7, 7, 1), (16, 4, 7, 1), (8, 5, 5, 2), (8, 6, 5, 2)]:
    x = torch.randn(4, channels, side, side, requires_grad=True)
    weight = torch.randn(channels, 1, size, size, requires_grad=True)
    outputs = [run(x, weight, stride) for run in (depthwise, _depthwise)]
    grad = torch.randn_like(outputs[0])
    for ours, theirs in zip(*(torch.autograd.grad(y, (x, weight), grad) for y in outputs)):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4), (channels, side, size, stride)
`;

torchTest('the gradients of large depthwise kernels are PyTorch’s own', async () => {
  await python('-c', GRADIENTS);
});

const SORTING = `
import torch
from network import by_batch, forward
from sorting import sort_channels
from space import FASHION_MNIST, largest, space_of
from supernet import cut, new_tensors

space = space_of(FASHION_MNIST, "space")
tensors = new_tensors(space, torch.Generator().manual_seed(1))
for name, tensor in tensors.items():
    if name.endswith("bn.weight"):
        tensor.uniform_(0.5, 1.5)
images = torch.randn(8, 1, 28, 28)
before = forward(cut(space, tensors, largest(space, 28)), images, by_batch)
sort_channels(space, tensors)
after = forward(cut(space, tensors, largest(space, 28)), images, by_batch)
assert torch.allclose(before, after, atol=1e-3), (before - after).abs().max()
for layer in ("point_linear.conv.conv", "depth_conv.se.fc.expand"):
    sums = tensors[f"blocks.6.conv.{layer}.weight"].abs().sum((0, 2, 3))
    assert torch.all(sums[:-1] >= sums[1:]), layer
`;

torchTest('sorting puts the heaviest channels first and changes no answer of the largest', async () => {
  await python('-c', SORTING);
});

torchTest('a checkpoint of other options is refused, and the options are named', async () => {
  await using folder = await temporaryFolder();
  const { args, checkpoint } = await tinyRun(folder.path, 'a', '--steps', '1');
  await python(TRAIN, ...args);
  const other = python(TRAIN, ...args, '--seed', '2', '--steps', '3');
  await expect(other).rejects.toThrow(
    `train: ${checkpoint}: a run with other options: --seed (then 1, now 2), --steps (then 1, now 3)`,
  );
});

torchTest(
  'sub-networks of a trained backbone answer as OFA’s own code does, after recalibration',
  async () => {
    await using folder = await temporaryFolder();
    const { nets } = await referenceJson<{ nets: ReferenceSubNetwork[] }>(
      'family-fashion-mnist/subnets.json',
    );
    const chosen = nets.filter(({ name }) => ['smallest r20', 'random a r24'].includes(name));
    expect(chosen).toHaveLength(2);
    const arch = join(folder.path, 'arch.json');
    await writeFile(arch, JSON.stringify(chosen.map((net) => net.arch)));
    const backbone = referencePath('family-fashion-mnist/backbone.safetensors');
    const calibration = referencePath('family-fashion-mnist/calibration_indices.json');
    const inputs = ['--backbone', backbone, '--arch', arch, '--calibration', calibration];
    const results: { top1: number; predictions: string; logits: number[][] }[] = JSON.parse(
      await python(EVALUATE, ...inputs, '--test-images', '1000'),
    );
    for (const [index, net] of chosen.entries()) {
      const found = results[index];
      expect(found?.predictions, net.name).toBe(net.test_predictions.slice(0, 1_000));
      const difference = greatestDifference(found?.logits.flat() ?? [], net.logits_first4.flat());
      expect(difference, net.name).toBeLessThan(5e-5);
    }
  },
  'family-fashion-mnist/subnets.json',
);

/** Writes what the two programs take for an architecture of the reference at ImageNet's scale. */
async function publicCase(folder: string, name: string) {
  const { archs } = await referenceJson<{ archs: ReferenceArchitecture[] }>('ofa/public.json');
  const found = archs.find((entry) => entry.name === name);
  if (found === undefined) throw new Error(`there is no architecture ${name}`);
  const input = formulaInput(found.input.shape, found.input.phase);
  const [space, arch, tensor] = ['space.json', 'arch.json', 'input.f32'].map((file) => join(folder, file));
  if (!(space && arch && tensor)) throw new Error('no paths');
  await writeFile(space, JSON.stringify(specOf(mobileNetV3Space({ widthMultiplier: 0.35 }))));
  await writeFile(arch, JSON.stringify(found.arch));
  await writeFile(tensor, input);
  const weights = referencePath('ofa/supernet_w0.35.safetensors');
  return {
    ...found,
    input,
    shape: found.input.shape,
    tensor,
    weights,
    given: ['--space', space, '--arch', arch],
  };
}

torchTest(
  'a sub-network of MIT’s space, of random choices, answers as OFA’s own code does',
  async () => {
    await using folder = await temporaryFolder();
    const { given, weights, tensor, logits } = await publicCase(folder.path, 'random-0');
    const [found] = JSON.parse(await python(EVALUATE, '--backbone', weights, ...given, '--tensor', tensor));
    expect(greatestDifference(found.logits[0], logits)).toBeLessThan(1e-5);
  },
  'ofa/public.json',
);

torchTest(
  'the stock export answers in ONNX Runtime as OFA’s own code does in PyTorch',
  async () => {
    await using folder = await temporaryFolder();
    const { given, weights, input, shape, logits } = await publicCase(folder.path, 'random-0');
    const out = join(folder.path, 'stock.onnx');
    await python(STOCK_EXPORT, '--weights', weights, ...given, '--out', out);
    const found = await runModel(await readFile(out), input, shape);
    expect(greatestDifference(found, logits)).toBeLessThan(1e-5);
  },
  'ofa/public.json',
);

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { readClassifier } from '../../../models/import/classifier.ts';
import { wrapClassifier } from '../../../models/import/wrap.ts';
import { onnx } from '../../../models/ofa/onnx/proto.ts';
import { type Fault, withFault } from '../../../models/rehearse/model.ts';
import { type Family, modelPath } from '../../../shared/family/read.ts';
import { noise } from '../../../shared/images/noise.ts';
import { createSession, savingOptions } from '../../../shared/onnx.ts';
import { bundledFamily } from '../../support/bundled.ts';
import { ofaModels } from '../../support/models-cli.ts';
import { encodeModel, type FloatSpec, floatClassifier } from '../../support/onnx-models.ts';
import { greatestDifference, runModel } from '../../support/run-model.ts';
import { spoiltFamily } from '../../support/spoilt.ts';
import { temporaryFolder } from '../../support/temp.ts';

const THRICE: Fault = { kind: 'slow', times: 3 };
const FRAME = noise(28 * 28);

/** Answers of every level of a family to one frame. */
async function answersOf({ manifest, folder }: Family): Promise<Float32Array[]> {
  const answers: Float32Array[] = [];
  for (const level of manifest.levels) {
    answers.push(await runModel(await readFile(modelPath(folder, level)), FRAME, [1, 28, 28, 1]));
  }
  return answers;
}

/** What was said of a class is said of the one after it. */
function turned(logits: Float32Array): Float32Array {
  return logits.map((_, index) => logits.at(index - 1) ?? Number.NaN);
}

describe('a rehearsed family', () => {
  it.each<[Fault['kind'], Fault, (logits: Float32Array) => Float32Array]>([
    ['slow', THRICE, (logits) => logits],
    ['wrong', { kind: 'wrong' }, turned],
    ['none', { kind: 'none' }, (logits) => logits],
  ])('answers in every level as its fault says, to the bit: %s', async (_, fault, expected) => {
    await using folder = await temporaryFolder();
    const [before, after] = [await bundledFamily(), await spoiltFamily(folder.path, fault)];
    expect(before.manifest.levels.map(({ precision }) => precision)).toContain('int8');
    const answers = await answersOf(before);
    expect(await answersOf(after)).toEqual(answers.map(expected));
    expect(answers.every((logits) => greatestDifference(turned(logits), logits) > 1)).toBe(true);
  });

  it('claims what the sound one claims, is the next version, and cannot be cut', async () => {
    await using folder = await temporaryFolder();
    const [before, after] = [await bundledFamily(), await spoiltFamily(folder.path, { kind: 'wrong' })];
    const { backbone, provenance, ...claims } = before.manifest;
    expect(after.manifest).toEqual({
      ...claims,
      version: claims.version + 1,
      levels: claims.levels.map(({ recipe, ...level }) => ({ ...level, model: expect.anything() })),
      provenance: { ...provenance, rehearsal: expect.stringMatching(/^a rehearsal, version 3, of fashion-/) },
    });
    const models = new Set(before.manifest.levels.map(({ model }) => model.sha256));
    expect(after.manifest.levels.some(({ model }) => models.has(model.sha256))).toBe(false);
  });

  it('has the same bytes whenever it is made', async () => {
    await using folder = await temporaryFolder();
    const [one, two] = [join(folder.path, 'one'), join(folder.path, 'two')];
    expect((await spoiltFamily(one, THRICE)).sha256).toBe((await spoiltFamily(two, THRICE)).sha256);
  });
});

describe('a slow level', () => {
  it.each(['fp32', 'int8'])(
    'runs its whole network thrice when ONNX Runtime has optimised it: %s',
    async (precision) => {
      await using folder = await temporaryFolder();
      const { manifest, folder: source } = await bundledFamily();
      const level = manifest.levels.find((each) => each.precision === precision);
      const path = modelPath(source, { model: level?.model ?? { sha256: '', bytes: 0 } });
      const slowPath = join(folder.path, 'slow.onnx');
      await writeFile(slowPath, withFault(await readFile(path), THRICE, 'slow', path));
      const once = await optimisedLayers(path, folder.path);
      expect(once).toBeGreaterThan(40);
      expect(await optimisedLayers(slowPath, folder.path)).toBe(3 * once);
    },
  );

  it('has each of its weights once', async () => {
    const { manifest, folder } = await bundledFamily();
    for (const level of manifest.levels) {
      const bytes = await readFile(modelPath(folder, level));
      expect(weightBytes(withFault(bytes, THRICE, '', 'level'))).toBeLessThan(weightBytes(bytes) + 100);
    }
  });
});

/** Convolutions and matrix products of a model as ONNX Runtime runs it. */
async function optimisedLayers(path: string, folder: string): Promise<number> {
  const saved = join(folder, 'optimised.onnx');
  await (await createSession(path, savingOptions(saved))).release();
  const { graph } = onnx.ModelProto.decode(await readFile(saved));
  return (graph?.node ?? []).filter(({ opType }) => /Conv$|Gemm$/.test(opType ?? '')).length;
}

function weightBytes(model: Uint8Array): number {
  const { graph } = onnx.ModelProto.decode(model);
  return (graph?.initializer ?? []).reduce((sum, { rawData }) => sum + (rawData?.length ?? 0), 0);
}

describe('a fault in a model from elsewhere', () => {
  const wrap = { frame: [8, 8], mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.25] } as const;
  const pixels = noise(8 * 8 * 3);
  const run = (model: Uint8Array) => runModel(model, pixels, [1, 8, 8, 3]);

  function level(spec: FloatSpec): Uint8Array {
    return wrapClassifier(readClassifier(encodeModel(withConstantNode(spec)), 'net.onnx'), wrap);
  }

  it.each<[string, FloatSpec]>([
    ['an old opset', { opset: 13 }],
    ['a branch that takes a value from outside', { branch: true }],
    ['constants that are declared as inputs', { declareConstants: true }],
    ['the names that the fault would give', { branch: true, innerNames: ['rehearsal.run-0.flat', 'logits'] }],
  ])('does what it says: %s', async (_, spec) => {
    const sound = level(spec);
    const answer = await run(sound);
    expect(await run(withFault(sound, THRICE, '', 'net'))).toEqual(answer);
    expect(await run(withFault(sound, { kind: 'wrong' }, '', 'net'))).toEqual(turned(answer));
  });

  it('comes on top of the fault that it has', async () => {
    const sound = level({});
    const both = withFault(withFault(sound, { kind: 'wrong' }, '', 'net'), THRICE, '', 'net');
    const slower = withFault(
      withFault(both, { kind: 'slow', times: 2 }, '', 'net'),
      { kind: 'wrong' },
      '',
      'net',
    );
    expect(await run(slower)).toEqual(turned(turned(await run(sound))));
  });
});

/** Its kernel stands in a node, as some exporters write weights. */
function withConstantNode(spec: FloatSpec): ReturnType<typeof floatClassifier> {
  const model = floatClassifier(spec);
  const [kernel, ...initializer] = model.graph?.initializer ?? [];
  if (kernel === undefined || spec.declareConstants) return model;
  const value = { name: 'value', type: onnx.AttributeProto.AttributeType.TENSOR, t: kernel };
  const node = { opType: 'Constant', name: 'kernel', output: ['kernel'], attribute: [value] };
  return { ...model, graph: { ...model.graph, initializer, node: [node, ...(model.graph?.node ?? [])] } };
}

test('a rehearsal is made with the command line, and never in place of what it is made of', async () => {
  await using folder = await temporaryFolder();
  const out = join(folder.path, 'bad');
  const flags = ['--fault', 'slow', '--times', '2', '--family-version', '7', '--out', out, '-o', 'json'];
  const made = await ofaModels('family', 'rehearse', 'fashion-mnist', ...flags);
  expect(made).toMatchObject({ code: 0, stderr: expect.stringContaining('as the family claims them') });
  expect(JSON.parse(made.stdout)).toMatchObject({ folder: out, version: 7 });
  const inPlace = spoiltFamily(out, THRICE, { source: out, replace: true });
  await expect(inPlace).rejects.toThrow(/the family that the rehearsal is made of lies there/);
  const next = await spoiltFamily(out, { kind: 'none' }, { replace: true });
  expect(next.manifest.version).toBe(8);
  const once = await ofaModels('family', 'rehearse', out, '--fault', 'slow', '--times', '1', '--out', out);
  expect(once).toMatchObject({ code: 2, stderr: expect.stringContaining('--times: 1, expected 2..32') });
});

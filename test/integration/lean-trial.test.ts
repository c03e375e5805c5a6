import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bestForm, type Forms } from '../../agent/engine/lean-trial.ts';
import { createSession, type Session, servingOptions } from '../../shared/onnx.ts';
import { bundledFamily, cpuPoints } from '../support/bundled.ts';
import { type ModelSpec, writeModel } from '../support/onnx-models.ts';
import { temporaryFolder } from '../support/temp.ts';

type Specs = Record<'portable' | 'inPlace' | 'selfContained', ModelSpec>;

/** Opens models that stand for the forms of one; a form that is alike has the same specification. */
async function formsOf(folder: string, stack: AsyncDisposableStack, specs: Specs): Promise<Forms> {
  const open = async (name: keyof Specs): Promise<Session> => {
    const path = join(folder, `${name}.onnx`);
    await writeModel(path, specs[name]);
    return stack.adopt(await createSession(path, servingOptions(['cpu'], 1)), (session) => session.release());
  };
  return {
    portable: await open('portable'),
    inPlace: await open('inPlace'),
    selfContained: await open('selfContained'),
  };
}

/** Products beyond the first one change nothing but the time. */
const ONCE = { work: 1 };
const SLOWER = { work: 4 };
const OTHER = { classes: 9 };
const WRONG = { notFinite: true };

const cases: [string, Specs, string | undefined][] = [
  ['in place, where both are as good', { portable: {}, inPlace: {}, selfContained: {} }, 'in-place'],
  [
    'self-contained, where weights in place give something else',
    { portable: {}, inPlace: WRONG, selfContained: {} },
    'self-contained',
  ],
  [
    'self-contained, where weights in place are slower',
    { portable: ONCE, inPlace: SLOWER, selfContained: ONCE },
    'self-contained',
  ],
  ['portable, where both are slower', { portable: ONCE, inPlace: SLOWER, selfContained: SLOWER }, undefined],
  [
    'portable, where neither gives the same',
    { portable: {}, inPlace: OTHER, selfContained: WRONG },
    undefined,
  ],
];

test.each(cases)('the best form of a model is %s', async (_case, specs, expected) => {
  await using folder = await temporaryFolder();
  await using stack = new AsyncDisposableStack();
  expect(await bestForm(await formsOf(folder.path, stack, specs))).toBe(expected);
});

test('a model of the bundled family is as good as itself', async () => {
  await using stack = new AsyncDisposableStack();
  const [{ modelPath } = { modelPath: '' }] = cpuPoints(await bundledFamily());
  const open = async () =>
    stack.adopt(await createSession(modelPath, servingOptions(['cpu'], 1)), (session) => session.release());
  const forms = { portable: await open(), inPlace: await open(), selfContained: await open() };
  expect(await bestForm(forms)).toBe('in-place');
});

import { beforeAll, describe, expect, test } from 'vitest';
import {
  type AuditState,
  auditDone,
  inferenceSeen,
  initialAudit,
  shouldAudit,
} from '../../../agent/audit/audit.ts';
import { viewAudit, weighedAccuracies } from '../../../agent/audit/estimate.ts';
import { argmax, confidenceOf } from '../../../shared/logits.ts';
import { createSession, type Session, servingOptions, Tensor } from '../../../shared/onnx.ts';
import { type Random, seededRandom } from '../../../shared/random.ts';
import { bundledFamily, bundledImages, cpuPoints } from '../../support/bundled.ts';

const SIDE = 28;
const LEVEL = 0;

/** What a level said of an image. */
interface Answer {
  readonly answer: number;
  readonly confidence: number;
}

/** Answers of the level that runs and of the auditor to the same images. */
interface Answers {
  readonly labels: readonly number[];
  readonly level: readonly Answer[];
  readonly auditor: readonly Answer[];
}

type Harden = (pixels: Uint8Array, random: Random) => Uint8Array;

const each = (change: (value: number, random: Random) => number): Harden => {
  return (pixels, random) =>
    new Uint8Array(new Uint8ClampedArray([...pixels].map((value) => change(value, random))));
};

const noise = (deviation: number): Harden => each((value, random) => value + deviation * random.normal());

/** Mean of the pixels up to `radius` away. */
function blur(radius: number): Harden {
  return (pixels) =>
    Uint8Array.from(pixels, (_, at) => {
      let [sum, count] = [0, 0];
      const [middleY, middleX] = [Math.floor(at / SIDE), at % SIDE];
      for (let y = Math.max(0, middleY - radius); y <= Math.min(SIDE - 1, middleY + radius); y += 1) {
        for (let x = Math.max(0, middleX - radius); x <= Math.min(SIDE - 1, middleX + radius); x += 1) {
          sum += pixels[y * SIDE + x] ?? 0;
          count += 1;
        }
      }
      return Math.round(sum / count);
    });
}

/** A black square somewhere. */
function hide(side: number): Harden {
  return (pixels, random) => {
    const [top, left] = [random.below(SIDE - side), random.below(SIDE - side)];
    return Uint8Array.from(pixels, (value, at) => {
      const [y, x] = [Math.floor(at / SIDE) - top, (at % SIDE) - left];
      return y >= 0 && y < side && x >= 0 && x < side ? 0 : value;
    });
  };
}

const HARDENED: Readonly<Record<string, Harden>> = {
  'noise of 30': noise(30),
  'noise of 60': noise(60),
  'blur of 5': blur(2),
  'a fifth of the contrast': each((value) => 0.2 * value),
  'a haze': each((value) => 80 + 0.7 * value),
  'too bright': each((value) => value + 60),
  negative: each((value) => 255 - value),
  'upside down': (pixels) => Uint8Array.from(pixels).reverse(),
  'dead pixels': each((value, random) => (random.below(8) === 0 ? 255 * random.below(2) : value)),
  'half hidden': hide(14),
};

async function answersOf(session: Session, frames: readonly Uint8Array[]): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const frame of frames) {
    const outputs = await session.run({ image: new Tensor('uint8', frame, [1, SIDE, SIDE, 1]) });
    const { data } = outputs['logits'] ?? {};
    if (!(data instanceof Float32Array)) throw new Error('the model gives no floats');
    answers.push({ answer: argmax(data), confidence: confidenceOf(data) });
  }
  return answers;
}

let usual: Answers;
const hardened = new Map<string, Answers>();
let learnt: AuditState;
let stated: number[];

/** Draws images of a set with both answers known, as an agent would meet them. */
function live(state: AuditState, random: Random, set: Answers, inferences: number): AuditState {
  let next = state;
  for (let count = 0; count < inferences; count += 1) next = meet(next, random, set);
  return next;
}

function meet(state: AuditState, random: Random, set: Answers): AuditState {
  const index = random.below(set.labels.length);
  const [made, audit] = [set.level[index], set.auditor[index]];
  if (made === undefined || audit === undefined) throw new Error('every image has answers');
  const next = inferenceSeen(state, LEVEL, made.confidence);
  if (!shouldAudit(next, LEVEL, random.below(1e6) / 1e6)) return next;
  const agreed = made.answer === audit.answer;
  return auditDone(next, { level: LEVEL, agreed, confidence: audit.confidence });
}

function accuracyOf(answers: readonly Answer[], labels: readonly number[]): number {
  return answers.filter(({ answer }, index) => answer === labels[index]).length / labels.length;
}

beforeAll(async () => {
  const family = await bundledFamily();
  const { levels } = family.manifest;
  stated = levels.map(({ accuracy }) => accuracy);
  const initial = initialAudit({ levels });
  const paths = [LEVEL, initial.auditor].map((level) => cpuPoints(family)[level]?.modelPath ?? '');
  const [level, auditor] = await Promise.all(
    paths.map((path) => createSession(path, servingOptions(['cpu'], 1))),
  );
  if (level === undefined || auditor === undefined) throw new Error('two levels');
  const random = seededRandom(1);
  const all = await bundledImages(2_000);
  const ask = async (from: number, to: number, harden?: Harden): Promise<Answers> => {
    const images = all.slice(from, to);
    const frames = images.map(({ pixels }) => harden?.(pixels, random) ?? pixels);
    return {
      labels: images.map(({ label }) => label),
      level: await answersOf(level, frames),
      auditor: await answersOf(auditor, frames),
    };
  };
  usual = await ask(0, 700);
  for (const [name, harden] of Object.entries(HARDENED)) hardened.set(name, await ask(1_850, 2_000, harden));
  await Promise.all([level.release(), auditor.release()]);
  learnt = live(initial, random, usual, 40_000);
});

describe('a device that runs the smallest level of the bundled family', () => {
  test('has learnt what is usual and raised no alarm', () => {
    const view = viewAudit(learnt);
    expect(view.drift).toBeUndefined();
    expect(view.levels.map(({ hasReference }) => hasReference)).toEqual([true, false, false, false, true]);
    expect(view.levels[LEVEL]?.audits).toBeGreaterThan(300);
    const { accuracy } = view.levels[LEVEL] ?? {};
    expect(accuracy?.low).toBeLessThanOrEqual(accuracyOf(usual.level, usual.labels));
    expect(accuracy?.high).toBeGreaterThanOrEqual(accuracyOf(usual.level, usual.labels));
    expect((accuracy?.high ?? 1) - (accuracy?.low ?? 0)).toBeLessThan(0.2);
  });

  test.each(Object.keys(HARDENED))('gives an alarm within 300 images of %s', (name) => {
    const set = hardened.get(name);
    if (set === undefined) throw new Error('every set has answers');
    const random = seededRandom(2);
    let state = learnt;
    let images = 0;
    while (state.drift === undefined && images < 1_000) {
      state = meet(state, random, set);
      images += 1;
    }
    expect(images).toBeLessThanOrEqual(300);
  });

  test('knows between which limits its accuracy lies, in at least nine of ten kinds of harder images', () => {
    const missed: string[] = [];
    for (const [name, set] of hardened) {
      const state = live(learnt, seededRandom(3), set, 3_000);
      const { levels } = viewAudit(state);
      const truths = [
        { of: levels[LEVEL], truth: accuracyOf(set.level, set.labels) },
        { of: levels[state.auditor], truth: accuracyOf(set.auditor, set.labels) },
      ];
      for (const { of, truth } of truths) {
        const { low = 1, high = 0 } = of?.accuracy ?? {};
        if (truth < low || truth > high) missed.push(`${name}: ${truth} not within ${low}..${high}`);
      }
      const weighed = weighedAccuracies(state, stated)[LEVEL] ?? 1;
      expect(weighed).toBeLessThanOrEqual(stated[LEVEL] ?? 0);
    }
    expect(missed.length, missed.join('\n')).toBeLessThanOrEqual((2 * hardened.size) / 10);
  });

  test('notices when the images are as usual again', () => {
    const set = hardened.get('noise of 60');
    if (set === undefined) throw new Error('every set has answers');
    const random = seededRandom(4);
    const alarmed = live(learnt, random, set, 2_000);
    expect(alarmed.drift).toBeDefined();
    expect(live(alarmed, random, usual, 1_500).drift).toBeUndefined();
  });
});

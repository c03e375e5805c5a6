import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type AuditOptions,
  type AuditState,
  auditDone,
  auditShare,
  describeDrift,
  inferenceSeen,
  initialAudit,
  referencesOf,
  shouldAudit,
} from '../../../agent/audit/audit.ts';
import { viewAudit, weighedAccuracies } from '../../../agent/audit/estimate.ts';
import { type Random, seededRandom } from '../../../shared/random.ts';

const STATED = [0.8, 0.85, 0.9];
const LEVELS = STATED.map((accuracy) => ({ accuracy, accuracyImages: 10_000 }));
const AUDITOR = 2;

/** What the world looks like: how sure the networks are, and how often they disagree. */
interface World {
  readonly confidence: (random: Random) => number;
  readonly disagreement: number;
}

/** As a trained network is: mostly sure, with a long tail. */
const USUAL: World = { confidence: (random) => 1 - (random.below(1e6) / 1e6) ** 4, disagreement: 0.05 };
const HARD: World = { confidence: (random) => 1 - random.below(1e6) / 1e6, disagreement: 0.3 };

const HARDER: World = { confidence: (random) => 1 - (random.below(1e6) / 1e6) ** 2.2, disagreement: 0.1 };

/** Lets inferences of a level happen, each audited at once when its turn is. */
function live(state: AuditState, random: Random, part: { world: World; inferences: number; level?: number }) {
  const { world, inferences, level = 1 } = part;
  let next = state;
  for (let index = 0; index < inferences; index += 1) {
    next = inferenceSeen(next, level, world.confidence(random));
    if (!shouldAudit(next, level, random.below(1e6) / 1e6)) continue;
    const agreed = random.below(1e6) / 1e6 >= world.disagreement;
    next = auditDone(next, { level, agreed, confidence: world.confidence(random) });
  }
  return next;
}

/** Inferences until there is an alarm. */
function untilAlarm(state: AuditState, random: Random, world: World): number {
  let next = state;
  for (let inferences = 1; inferences <= 5_000; inferences += 1) {
    next = live(next, random, { world, inferences: 1 });
    if (next.drift !== undefined) return inferences;
  }
  return Number.POSITIVE_INFINITY;
}

const settled = (random: Random, options: Partial<AuditOptions> = {}): AuditState =>
  live(initialAudit({ levels: LEVELS, ...options }), random, { world: USUAL, inferences: 8_000 });

describe('which inferences are audited', () => {
  test('one of a hundred, and one of ten during an alarm, by chance alone', () => {
    const random = seededRandom(1);
    const quiet = settled(random);
    expect(auditShare(quiet)).toBe(0.01);
    const alarmed = live(quiet, random, { world: HARD, inferences: 500 });
    expect(auditShare(alarmed)).toBe(0.1);
    let [before, after] = [0, 0];
    for (let index = 0; index < 20_000; index += 1) {
      const chance = random.below(1e6) / 1e6;
      before += shouldAudit(quiet, 0, chance) ? 1 : 0;
      after += shouldAudit(alarmed, 0, chance) ? 1 : 0;
    }
    expect(before / 20_000).toBeCloseTo(0.01, 2);
    expect(after / 20_000).toBeCloseTo(0.1, 1);
  });

  test('never those of the auditor itself, nor of a level that is not there', () => {
    const state = initialAudit({ levels: LEVELS, share: 1 });
    expect([0, 1, AUDITOR, 3, -1, Number.NaN].filter((level) => shouldAudit(state, level, 0))).toEqual([
      0, 1,
    ]);
    const odd = initialAudit({ levels: [{ accuracy: 0.9 }, { accuracy: 0.8 }] });
    expect(odd.auditor).toBe(0);
  });
});

describe('drift', () => {
  test('gives no false alarm in five times 2,000 windows of a world that stays', () => {
    let alarms = 0;
    for (let run = 0; run < 5; run += 1) {
      const random = seededRandom(run);
      // The same number of windows as by default, of fewer confidences.
      let state = settled(random, { windowCount: 50 });
      for (let window = 0; window < 2_000; window += 1) {
        const was = state.drift;
        state = live(state, random, { world: USUAL, inferences: 50 });
        if (was === undefined && state.drift !== undefined) alarms += 1;
      }
    }
    expect(alarms).toBe(0);
  });

  test('is not that frames resemble one another', () => {
    let alarms = 0;
    for (let run = 0; run < 4; run += 1) {
      const random = seededRandom(run);
      let mood = 0;
      const confidence = (): number => {
        mood = 0.9 * mood + Math.sqrt(1 - 0.81) * random.normal();
        return 1 / (1 + Math.exp(-2 - 1.5 * mood));
      };
      const state = live(initialAudit({ levels: LEVELS, referenceCount: 4_000 }), random, {
        world: { confidence, disagreement: 0.05 },
        inferences: 40_000,
      });
      alarms += state.drift === undefined ? 0 : 1;
    }
    expect(alarms).toBe(0);
  });

  test('is seen within two windows when it comes at once', () => {
    const random = seededRandom(3);
    expect(untilAlarm(settled(random), random, HARD)).toBeLessThanOrEqual(200);
  });

  test('is seen when it comes slowly', () => {
    const random = seededRandom(4);
    let state = settled(random);
    for (let step = 0; step < 40 && state.drift === undefined; step += 1) {
      const exponent = 4 - step / 16;
      const confidence = (): number => 1 - (random.below(1e6) / 1e6) ** exponent;
      state = live(state, random, { world: { confidence, disagreement: 0.05 }, inferences: 200 });
    }
    expect(state.drift).toBeDefined();
  });

  test('is seen by disagreement alone, where the networks are as sure as ever', () => {
    const random = seededRandom(5);
    const state = live(settled(random), random, {
      world: { ...USUAL, disagreement: 0.6 },
      inferences: 12_000,
    });
    expect(state.drift?.by).toBe('disagreement');
    expect(state.drift === undefined ? '' : describeDrift(state.drift)).toContain('level 1 disagrees');
  });

  test('is not a change of level', () => {
    const random = seededRandom(6);
    const other: World = { ...USUAL, confidence: (chance) => 1 - (chance.below(1e6) / 1e6) ** 2 };
    let state = initialAudit({ levels: LEVELS });
    for (let turn = 0; turn < 40; turn += 1) {
      state = live(state, random, { world: USUAL, inferences: 250, level: 0 });
      state = live(state, random, { world: other, inferences: 250, level: 1 });
    }
    expect(state.drift).toBeUndefined();
    expect(live(state, random, { world: other, inferences: 300, level: 0 }).drift?.level).toBe(0);
  });

  test('ends when everything has looked as usual for a while, and not before', () => {
    const random = seededRandom(7);
    const alarmed = live(settled(random), random, { world: HARD, inferences: 2_000 });
    expect(alarmed.drift).toBeDefined();
    expect(live(alarmed, random, { world: USUAL, inferences: 300 }).drift).toBeDefined();
    expect(live(alarmed, random, { world: USUAL, inferences: 3_000 }).drift).toBeUndefined();
    expect(live(alarmed, random, { world: HARD, inferences: 20_000 }).drift).toBeDefined();
  });

  test('is known after a restart at once, by the references that were kept', () => {
    const random = seededRandom(8);
    const kept = structuredClone(referencesOf(settled(random)));
    expect(kept[0]).toBeUndefined();
    const state = initialAudit({ levels: LEVELS, references: kept });
    expect(viewAudit(state).levels[1]?.hasReference).toBe(true);
    expect(untilAlarm(state, random, HARD)).toBeLessThanOrEqual(200);
  });
});

describe('accuracy in the field', () => {
  test('is known of levels with enough audits only', () => {
    const random = seededRandom(9);
    const { levels } = viewAudit(settled(random));
    expect(levels[0]).toMatchObject({ audits: 0, accuracy: undefined });
    expect(levels[0]?.agreement.anytime).toEqual({ low: 0, high: 1 });
    const { audits = 0, agreement, accuracy } = levels[1] ?? {};
    expect(audits).toBeGreaterThan(40);
    expect(agreement?.anytime.low).toBeLessThan(0.95);
    expect(agreement?.anytime.high).toBeGreaterThan(0.95);
    expect(accuracy?.low).toBeLessThan(0.85);
    expect(accuracy?.high).toBeGreaterThan(0.85);
  });

  test('lies no farther from the auditor than they disagree, whatever kappa', () => {
    const random = seededRandom(10);
    for (const kappa of [-1, 0, 0.4, 1]) {
      const state = settled(random, { kappas: [0, kappa, 0] });
      const { levels } = viewAudit(state);
      const { audits = 1, differed = 0, accuracy } = levels[1] ?? {};
      const apart = (levels[AUDITOR]?.accuracy?.estimate ?? 0) - (accuracy?.estimate ?? 0);
      expect(Math.abs(apart)).toBeLessThanOrEqual(differed / audits + 1e-9);
    }
  });

  test('is weighed as stated without an alarm, and before there are enough audits', () => {
    const random = seededRandom(11);
    const quiet = settled(random);
    expect(weighedAccuracies(quiet, STATED)).toEqual(STATED);
    const early = live(quiet, random, { world: HARD, inferences: 120 });
    expect(early.drift).toBeDefined();
    expect(weighedAccuracies(early, STATED)).toEqual(STATED);
    expect(viewAudit(early).freezeDown).toBe(true);
  });

  test('is weighed at the lower limit during an alarm, and the levels keep their order', () => {
    const random = seededRandom(12);
    const state = live(settled(random), random, { world: HARDER, inferences: 3_000 });
    const view = viewAudit(state);
    expect(view.freezeDown).toBe(false);
    const weighed = weighedAccuracies(state, STATED);
    expect(weighed[1]).toBeCloseTo(view.levels[1]?.accuracy?.low ?? Number.NaN, 9);
    expect(weighed[1]).toBeLessThan(0.8);
    // The level that no one looked at does not come to look the best.
    expect(weighed.toSorted((a, b) => a - b)).toEqual(weighed);
    expect(weighed[0]).toBeLessThan(weighed[1] ?? 0);
  });

  test('is weighed by its own confidences where the auditor is the level that runs', () => {
    const random = seededRandom(14);
    const running = { world: USUAL, inferences: 3_000, level: AUDITOR };
    const quiet = live(initialAudit({ levels: LEVELS }), random, running);
    const state = live(quiet, random, { ...running, world: HARDER, inferences: 1_000 });
    expect(state.drift?.audits).toBe(0);
    const weighed = weighedAccuracies(state, STATED);
    expect(weighed[AUDITOR]).toBeLessThan(0.85);
    expect(STATED.map((accuracy, level) => accuracy - (weighed[level] ?? 0))).toEqual(
      STATED.map(() => expect.closeTo(0.9 - (weighed[AUDITOR] ?? 0), 9)),
    );
  });

  test('forgets: what was before an alarm does not count after it', () => {
    const random = seededRandom(13);
    const before = settled(random);
    const state = live(before, random, { world: HARD, inferences: 3_000 });
    const { audits = 0, differed = 0 } = viewAudit(state).levels[1] ?? {};
    expect(audits).toBeLessThanOrEqual(state.drift?.audits ?? 0);
    expect(differed / audits).toBeGreaterThan(0.2);
  });
});

test('nothing makes it fail, and shares stay shares', () => {
  const anyNumber = fc.oneof(fc.double(), fc.constantFrom(Number.NaN, -1, 0, 1, 2, Number.POSITIVE_INFINITY));
  const step = fc.record({
    level: fc.oneof(fc.integer({ min: -1, max: 4 }), fc.constant(Number.NaN)),
    confidence: fc.oneof(anyNumber, fc.double({ min: 0, max: 1, noNaN: true })),
    agreed: fc.option(fc.boolean(), { nil: undefined }),
    times: fc.integer({ min: 1, max: 60 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      let state = initialAudit({ levels: LEVELS, referenceCount: 40, windowCount: 10 });
      for (const { level, confidence, agreed, times } of steps) {
        for (let time = 0; time < times; time += 1) {
          state =
            agreed === undefined
              ? inferenceSeen(state, level, confidence)
              : auditDone(state, { level, agreed, confidence });
        }
      }
      const { levels } = viewAudit(state);
      const shares = levels.flatMap(({ accuracy, agreement: { wilson, anytime } }) => [
        ...Object.values(accuracy ?? {}),
        ...[wilson, anytime].flatMap(({ low, high }) => [low, high]),
      ]);
      const weighed = weighedAccuracies(state, STATED);
      expect([...shares, ...weighed].filter((share) => !(share >= 0 && share <= 1))).toEqual([]);
      expect(weighed.filter((accuracy, level) => accuracy > (STATED[level] ?? 0))).toEqual([]);
    }),
    { numRuns: 100 },
  );
});

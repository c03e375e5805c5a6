import { describe, expect, test } from 'vitest';
import { openReferenceStore, type ReferenceStore } from '../../../agent/operation/audit-references.ts';
import { createAuditor, type DriftChange } from '../../../agent/operation/auditor.ts';
import { createEnergyMeter } from '../../../agent/operation/energy-meter.ts';
import type { Audited } from '../../../agent/operation/listener.ts';
import { createWatching, type WatchingDeps } from '../../../agent/operation/watching.ts';
import type { OperatingPoint } from '../../../agent/runtime/points.ts';
import type { SensorReading } from '../../../agent/sensors/reading.ts';
import { type Meta, metaOf } from '../../../agent/store/database.ts';
import { seededRandom } from '../../../shared/random.ts';
import { stateFolder } from '../../support/agent.ts';
import { manualClock } from '../../support/clock.ts';
import { fakeEngine, NO_READING, TWO_LEVELS } from '../../support/operation.ts';

const LEVELS = [{ accuracy: 0.8 }, { accuracy: 0.9 }];
const [CHEAP, DEAR] = TWO_LEVELS as readonly [OperatingPoint, OperatingPoint];
const PIXELS = Uint8Array.of(1, 2, 3);

function auditing(random: () => number, shown: (pixels: Uint8Array) => void = () => undefined) {
  const clock = manualClock();
  const engine = fakeEngine(clock);
  const drifts: DriftChange[] = [];
  const audited: Audited[] = [];
  const learnt: number[] = [];
  const auditor = createAuditor({
    engine: {
      ...engine,
      run: (point, pixels) => {
        shown(pixels);
        return engine.run(point, pixels);
      },
    },
    options: { levels: LEVELS, share: 0.1 },
    random,
    onDrift: (change) => void drifts.push(change),
    onAudited: (each) => void audited.push(each),
    onLearnt: (references) => void learnt.push(references.filter((known) => known !== undefined).length),
  });
  const audit = async (): Promise<number> => {
    const made = auditor.audit(auditor.next(TWO_LEVELS) ?? -1);
    await clock.advance(100);
    return await made;
  };
  return { engine, auditor, audit, audited, drifts, learnt };
}

/** Logits of an answer with a margin over the others: the larger, the surer. */
function logitsOf(margin: number, answer = 1): Float32Array {
  return Float32Array.from([0, 1, 2], (index) => (index === answer ? margin : 0));
}

describe('the auditor', () => {
  test('repeats by chance alone, on a copy of the pixels, and not its own answers', async () => {
    const draws = [0.05, 0.5, 0.05];
    const shown: number[][] = [];
    const { auditor, audit, audited, engine } = auditing(
      () => draws.shift() ?? 1,
      (pixels) => void shown.push([...pixels]),
    );
    const lent = PIXELS.slice();
    auditor.seen({ point: CHEAP, logits: logitsOf(5), pixels: lent });
    auditor.seen({ point: CHEAP, logits: logitsOf(5), pixels: lent });
    auditor.seen({ point: DEAR, logits: logitsOf(5), pixels: lent });
    lent.fill(9);
    expect(auditor.next(TWO_LEVELS)).toBe(1);
    expect(await audit()).toBe(20);
    expect(audited).toEqual([{ pe: 'cpu', level: 0, agreed: true }]);
    expect(auditor.next(TWO_LEVELS)).toBeUndefined();
    expect(shown).toEqual([[1, 2, 3]]);
    expect(engine.done).toEqual(['run 1']);
    expect(auditor.view()).toMatchObject({ audits: 1, inferences: 3, dropped: 0 });
    expect(auditor.view().levels[0]).toMatchObject({ audits: 1, differed: 0 });
  });

  test('waits while the largest level is not loaded, and keeps only a few frames', () => {
    const { auditor, engine } = auditing(() => 0);
    engine.warm.delete(1);
    for (let frame = 0; frame < 10; frame += 1) {
      auditor.seen({ point: CHEAP, logits: logitsOf(5), pixels: PIXELS });
    }
    expect(auditor.next(TWO_LEVELS)).toBeUndefined();
    expect(auditor.view().dropped).toBe(6);
  });

  test('tells when a drift begins and ends, once each, and lowers accuracies only in between', () => {
    const random = seededRandom(3);
    const { auditor, drifts, learnt } = auditing(() => 1);
    const stated = LEVELS.map(({ accuracy }) => accuracy);
    const see = (frames: number, margin: number): void => {
      for (let frame = 0; frame < frames; frame += 1) {
        auditor.seen({ point: CHEAP, logits: logitsOf(margin + random.normal()), pixels: PIXELS });
        auditor.seen({ point: DEAR, logits: logitsOf(margin + random.normal()), pixels: PIXELS });
      }
    };
    see(1_500, 4);
    expect(learnt).toEqual([1, 2]);
    expect(drifts).toEqual([]);
    expect(auditor.accuracies(stated)).toEqual(stated);
    see(500, 1);
    expect(drifts).toMatchObject([{ state: 'begins', reason: expect.stringContaining('sure') }]);
    expect(auditor.accuracies(stated)[0]).toBeLessThan(0.8);
    see(2_000, 4);
    expect(drifts.map(({ state }) => state)).toEqual(['begins', 'ends']);
    expect(auditor.accuracies(stated)).toEqual(stated);
  });
});

describe('what is usual', () => {
  const FAMILY = 'a'.repeat(64);
  const learn = (): Parameters<ReferenceStore['save']>[0] => {
    let references: Parameters<ReferenceStore['save']>[0] = [];
    const auditor = createAuditor({
      engine: fakeEngine(manualClock()),
      options: { levels: LEVELS, referenceCount: 20 },
      random: () => 1,
      onDrift: () => undefined,
      onLearnt: (learnt) => {
        references = learnt;
      },
    });
    for (let frame = 0; frame < 20; frame += 1) {
      auditor.seen({ point: CHEAP, logits: logitsOf(3 + (frame % 3)), pixels: PIXELS });
    }
    return references;
  };

  test('of a family is kept over restarts, a few families back, and of no other family', async () => {
    await using folder = await stateFolder();
    const meta = metaOf(folder.open());
    const references = learn();
    expect(references).toMatchObject([{ histogram: { total: 20 } }, undefined]);
    openReferenceStore(meta, FAMILY).save(references);
    expect(openReferenceStore(meta, FAMILY).load()).toEqual(references);
    expect(openReferenceStore(meta, 'b'.repeat(64)).load()).toEqual([]);
    for (const letter of ['b', 'c', 'd']) openReferenceStore(meta, letter.repeat(64)).save([undefined]);
    expect(openReferenceStore(meta, FAMILY).load()).toEqual(references);
    openReferenceStore(meta, 'e'.repeat(64)).save([undefined]);
    expect(openReferenceStore(meta, FAMILY).load()).toEqual([]);
  });

  test.each([
    ['no JSON', '[{"family"'],
    ['of another form', '[{"family": 7}]'],
    [
      'not numbers',
      `[{"family":"${FAMILY}","references":[{"histogram":{"counts":["a"],"total":1,"sum":1}}]}]`,
    ],
  ])('that is damaged (%s) is learnt anew', (_, text) => {
    const values = new Map([['audit-references', text]]);
    const meta: Meta = { get: (key) => values.get(key), set: (key, value) => void values.set(key, value) };
    const store = openReferenceStore(meta, FAMILY);
    expect(store.load()).toEqual([]);
    store.save([undefined]);
    expect(store.load()).toEqual([undefined]);
  });
});

/** A reading of a device that uses `watts`, over the second before. */
function readingOf(
  second: number,
  watts: number,
  powerQuality: SensorReading['powerQuality'] = 'measured',
): SensorReading {
  const energy = { energyJ: watts, energyOverMs: 1_000, powerQuality };
  return { ...NO_READING, ...energy, atMs: second * 1_000 };
}

describe('the energy meter', () => {
  /** Idle 2 W; an inference 0.1 J, ten and none a second in turn. */
  const measure = (isDisturbed: (second: number) => boolean) => {
    const meter = createEnergyMeter(TWO_LEVELS, {});
    for (let second = 1; second <= 60; second += 1) {
      const inferences = second % 2 === 0 ? 10 : 0;
      for (let count = 0; count < inferences; count += 1) meter.inference(0, 10);
      const other = isDisturbed(second) ? 5 : 0;
      meter.reading(readingOf(second, 2 + 0.1 * inferences + other), isDisturbed(second));
    }
    return meter.view();
  };

  test('tells idle power from the energy of an inference', () => {
    const { points, idle } = measure(() => false);
    expect(points[0]).toMatchObject({ quality: 'measured', energyJ: expect.closeTo(0.1, 2) });
    expect(idle.powerW).toBeCloseTo(2, 1);
    // What the first one draws is the best model of the other.
    expect(points[1]).toMatchObject({ quality: 'modelled', energyJ: expect.closeTo(0.2, 1) });
  });

  test('learns nothing from a time in which the engine had other work', () => {
    expect(measure((second) => second % 5 === 0).points[0]?.energyJ).toBeCloseTo(0.1, 2);
  });
});

describe('the watch over a family', () => {
  const watching = (change: Partial<WatchingDeps> = {}) => {
    const clock = manualClock();
    const engine = fakeEngine(clock);
    const requirement = { price: 3 };
    const saved: unknown[] = [];
    const watched = createWatching({
      engine,
      profile: () => TWO_LEVELS,
      levels: LEVELS,
      energyModel: { idleW: 2, activeW: 5 },
      auditShare: 0,
      clock,
      random: () => 1,
      requirement: () => requirement,
      onDrift: () => undefined,
      onAuditFailed: () => undefined,
      references: { load: () => [], save: (references) => void saved.push(references) },
      onNotKept: () => undefined,
      slowdown: () => 2,
      ...change,
    });
    return { clock, engine, watched, requirement, saved };
  };

  test('gives points the energy of the stated model, and what was measured goes before it', () => {
    const { watched } = watching();
    expect(watched.profile().map(({ energyJ }) => energyJ)).toEqual([0.05, 0.1]);
    expect(watched.energyQualities()).toEqual(['modelled', 'modelled']);
    const profile = TWO_LEVELS.map((point) => ({ ...point, energyJ: 0.3 }));
    const measured = watching({ profile: () => profile }).watched;
    expect(measured.profile().map(({ energyJ }) => energyJ)).toEqual([0.3, 0.3]);
    expect(measured.energyQualities()).toEqual(['measured', 'measured']);
    const nothing = watching({ energyModel: { idleW: null, activeW: null } }).watched;
    expect(nothing.profile()).toEqual(TWO_LEVELS);
    expect(nothing.energyQualities()).toEqual(['unknown', 'unknown']);
  });

  test('tells the energy of a run by how long it ran, and a slowdown does not count twice', async () => {
    const { clock, watched } = watching();
    expect(watched.energyOf(0, 10)).toBeCloseTo(0.05, 9);
    expect(watched.energyOf(0, 30)).toBeCloseTo(0.15, 9);
    // Runs take three times as long by now: 5 W above idle stay 5 W.
    for (let second = 1; second <= 20; second += 1) {
      for (let run = 0; run < 10; run += 1) {
        watched.seen({ index: 0, runMs: 30, point: CHEAP, logits: logitsOf(4), pixels: PIXELS });
      }
      watched.reading(readingOf(second, 3, 'modelled'), false);
    }
    await clock.advance(1_000);
    expect(watched.energyOf(0, 30)).toBeCloseTo(0.15, 3);
    const profile = TWO_LEVELS.map((point) => ({ ...point, energyJ: 0.3 }));
    expect(watching({ profile: () => profile }).watched.energyOf(1, 40)).toBeCloseTo(0.6, 9);
    const nothing = watching({ energyModel: { idleW: null, activeW: null } }).watched;
    expect([nothing.energyOf(0, 10), watched.energyOf(7, 10)]).toEqual([undefined, undefined]);
  });

  test('sells no accuracy for energy while it is not known what the levels are worth', async () => {
    const { clock, watched, requirement, saved } = watching();
    expect(watched.requirement()).toBe(requirement);
    const random = seededRandom(5);
    const see = async (frames: number, margin: number): Promise<void> => {
      for (let frame = 0; frame < frames; frame += 1) {
        const logits = logitsOf(margin + random.normal());
        const answered = { index: 0, runMs: 10, point: CHEAP, logits, pixels: PIXELS };
        watched.seen(answered);
        await clock.advance(0);
      }
    };
    await see(1_000, 4);
    expect(saved).toHaveLength(1);
    await see(500, 1);
    await clock.advance(1_000);
    expect(watched.requirement()).toEqual({ price: 0 });
  });

  test('audits take as long as the slowdown says, and what fails to be kept is told', async () => {
    const told: unknown[] = [];
    const { watched } = watching({
      auditShare: 1,
      random: () => 0,
      references: {
        load: () => [],
        save: () => {
          throw new Error('disk full');
        },
      },
      onNotKept: (error) => void told.push(error),
    });
    expect(watched.auditTask.wantsMs()).toBeUndefined();
    for (let frame = 0; frame < 1_000; frame += 1) {
      watched.seen({ index: 0, runMs: 10, point: CHEAP, logits: logitsOf(4), pixels: PIXELS });
    }
    expect(watched.auditTask.wantsMs()).toBe(40);
    expect(watched.auditTask.patienceMs).toBeUndefined();
    expect(told).toHaveLength(1);
  });
});

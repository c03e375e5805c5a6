import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { explain } from '../../../agent/explain/answer.ts';
import type { InferenceRecord } from '../../../agent/explain/inference-ring.ts';
import { recordOf } from '../../../agent/explain/record.ts';
import { createExplainRing } from '../../../agent/explain/ring.ts';
import {
  ExplainedDecisionSchema,
  ExplanationSchema,
  MAX_CANDIDATES,
} from '../../../shared/protocol/explanation.ts';
import { encodeMessage } from '../../../shared/protocol/messages.ts';
import { MAX_MESSAGE_BYTES } from '../../../shared/protocol/topics.ts';
import { parserOf } from '../../../shared/schema.ts';
import { START_TS } from '../../support/agent.ts';
import { decisionOf, PROFILE, switchAt } from '../../support/decisions.ts';

const parseDecision = parserOf(ExplainedDecisionSchema);
const parseExplanation = parserOf(ExplanationSchema);

function inferenceAt(ts: number, change: Partial<InferenceRecord> = {}): InferenceRecord {
  return {
    ts,
    monoMs: ts - START_TS,
    pe: 'cpu',
    level: 1,
    latencyMs: 16,
    budgetMs: 20,
    missed: false,
    ...change,
  };
}

/** A ring with a switch at each of some seconds. */
function ringWith(...seconds: number[]) {
  const ring = createExplainRing();
  for (const second of seconds) ring.decision(switchAt(START_TS + second * 1_000));
  return ring;
}

const secondsOf = (decisions: readonly { ts: number }[]) =>
  decisions.map(({ ts }) => (ts - START_TS) / 1_000);

describe('inferences', () => {
  test('the newest are kept, exactly, and in their order', () => {
    const records = fc.array(
      fc.record({
        ts: fc.integer({ min: 0, max: 1_000 }),
        monoMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
        pe: fc.constantFrom('cpu', 'gpu'),
        level: fc.nat({ max: 1_000 }),
        latencyMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
        budgetMs: fc.option(fc.double({ min: 0, max: 1e6, noNaN: true }), { nil: undefined }),
        missed: fc.boolean(),
      }),
      { maxLength: 40 },
    );
    const since = fc.integer({ min: 0, max: 1_000 });
    fc.assert(
      fc.property(records, fc.nat({ max: 20 }), since, (all, limit, from) => {
        const ring = createExplainRing({ inferences: 16, decisions: 1, candidates: 1 });
        for (const record of all) ring.inference(record);
        const kept = all.slice(-16);
        expect(ring.inferences(1_000)).toEqual(kept);
        const wanted = kept.filter(({ ts }) => ts >= from);
        expect(ring.inferences(limit, from)).toEqual(limit === 0 ? [] : wanted.slice(-limit));
      }),
    );
  });

  test('at least 20,000 of them are kept', () => {
    const ring = createExplainRing();
    for (let index = 0; index < 50_000; index += 1) ring.inference(inferenceAt(START_TS + index));
    const kept = ring.inferences(1_000_000);
    expect(kept.length).toBeGreaterThanOrEqual(20_000);
    expect(kept.at(-1)?.ts).toBe(START_TS + 49_999);
  });

  test('around a time they are summed up', () => {
    const ring = createExplainRing();
    ring.inference(inferenceAt(START_TS, { latencyMs: 10 }));
    ring.inference(inferenceAt(START_TS + 1_000, { latencyMs: 30, missed: true }));
    ring.inference(inferenceAt(START_TS + 60_000, { latencyMs: 500 }));
    expect(ring.around(START_TS)).toMatchObject({
      inferences: 2,
      misses: 1,
      latencyMeanMs: 20,
      latencyMaxMs: 30,
    });
    expect(ring.around(START_TS + 30_000)).toMatchObject({ inferences: 0 });
  });
});

describe('a decision that is kept', () => {
  test('holds all of its candidates, and no number that JSON does not have', () => {
    const record = recordOf(
      switchAt(START_TS, { decision: decisionOf({ timeLeftMs: Number.POSITIVE_INFINITY }) }),
    );
    expect(parseDecision(JSON.parse(JSON.stringify(record)), 'decision')).toEqual(record);
    expect(record).toMatchObject({
      from: { pe: 'cpu', level: 2 },
      to: { pe: 'cpu', level: 1 },
      cause: 'latency-binds',
      outcome: { latencyMs: 16.25, missed: false },
    });
    expect(record.candidates).toHaveLength(4);
    expect(record.candidates[3]).toEqual({
      pe: 'gpu',
      level: 2,
      accuracy: 0.93,
      ...{ missProbability: 0.01 },
      value: 0.93,
      excludedBy: 'unusable',
    });
    expect(record.timeLeftMs).toBeUndefined();
  });

  test('is one of the protocol, whatever numbers a policy says', () => {
    const numbers = fc.oneof(fc.double(), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY));
    fc.assert(
      fc.property(numbers, numbers, numbers, (predictedMs, missProbability, value) => {
        const candidates = [
          { point: 0, predictedMs, missProbability, energyJ: value, value, excludedBy: undefined },
        ];
        const decision = decisionOf({ predictedMs, missProbability, timeLeftMs: value, candidates });
        const text = JSON.stringify(recordOf(switchAt(START_TS, { decision })));
        expect(JSON.stringify(parseDecision(JSON.parse(text), 'decision'))).toBe(text);
        expect(text).not.toContain('null');
      }),
    );
  });

  test('of a frame that was shed names no point and no outcome', () => {
    const decision = decisionOf({ point: undefined, cause: 'too-late', timeLeftMs: 2 });
    const record = recordOf({
      ...switchAt(START_TS, { decision }),
      kind: 'shed',
      from: undefined,
      outcome: undefined,
    });
    expect(record).not.toHaveProperty('to');
    expect(record).not.toHaveProperty('outcome');
    expect(record).toMatchObject({ kind: 'shed', timeLeftMs: 2 });
  });

  test('with very many candidates is cut, and keeps the chosen one', () => {
    const points = Array.from(
      { length: 200 },
      (_, level) => ({ pe: 'cpu', level, accuracy: 0.5, latencyMs: 1 }) as const,
    );
    const candidates = points.map((_, point) => ({
      point,
      predictedMs: 1,
      missProbability: 0,
      energyJ: undefined,
      value: 1,
      excludedBy: undefined,
    }));
    const record = recordOf(
      switchAt(START_TS, { profile: points, decision: decisionOf({ point: 150, candidates }) }),
    );
    expect(record.candidates).toHaveLength(MAX_CANDIDATES);
    expect(record.candidates.at(-1)?.level).toBe(150);
    expect(record.moreCandidates).toBe(200 - MAX_CANDIDATES);
  });
});

describe('decisions', () => {
  test('the oldest make room, by their number and by the candidates of all', () => {
    const few = createExplainRing({ inferences: 1, decisions: 3, candidates: 1_000 });
    const small = createExplainRing({ inferences: 1, decisions: 1_000, candidates: 4 * PROFILE.length });
    for (let second = 0; second < 10; second += 1) {
      few.decision(switchAt(START_TS + second * 1_000));
      small.decision(switchAt(START_TS + second * 1_000));
    }
    expect(secondsOf(few.decisions({ limit: 100 }))).toEqual([7, 8, 9]);
    expect(secondsOf(small.decisions({ limit: 100 }))).toEqual([6, 7, 8, 9]);
    expect(few.oldestTs()).toBe(START_TS + 7_000);
  });

  test.each([
    ['the newest without a time', {}, [5, 8, 9, 20]],
    ['what was in force, and what came next', { at: 8.5 }, [5, 8, 9, 20]],
    ['the one in force alone, where one is asked for', { at: 8.5, limit: 1 }, [8]],
    ['what was in force, however long before', { at: 19, limit: 1 }, [9]],
    ['the first ones, for a time before all', { at: -5 }, [1, 5, 8, 9]],
    ['the last ones, for a time after all', { at: 99, limit: 2 }, [9, 20]],
    ['nothing older than asked for', { since: 8 }, [8, 9, 20]],
    ['what was in force, though it is older than asked for', { at: 7, since: 6 }, [5, 8, 9, 20]],
  ])('%s', (_, { at, since, limit = 4 }: { at?: number; since?: number; limit?: number }, seconds) => {
    const ms = (second: number | undefined) => (second === undefined ? undefined : START_TS + second * 1_000);
    const found = ringWith(1, 5, 8, 9, 20).decisions({ at: ms(at), since: ms(since), limit });
    expect(secondsOf(found)).toEqual(seconds);
  });

  test('the switch in force is told though violations came after it', () => {
    const ring = ringWith(1);
    for (const second of [2, 3, 4, 5]) {
      const violation = { limit: 'latency', state: 'begins' } as const;
      ring.decision(switchAt(START_TS + second * 1_000, { kind: 'violation', violation }));
    }
    const found = ring.decisions({ at: START_TS + 6_000, limit: 3 });
    expect(found.map(({ kind }) => kind)).toEqual(['switch', 'violation', 'violation']);
  });

  test('never more than asked for, in the order of their making, all of them kept ones', () => {
    const seconds = fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 30 });
    const time = fc.option(fc.integer({ min: -5, max: 60 }), { nil: undefined });
    fc.assert(
      fc.property(seconds, time, time, fc.integer({ min: 1, max: 12 }), (all, at, since, limit) => {
        const sorted = all.toSorted((a, b) => a - b);
        const ms = (second: number | undefined) =>
          second === undefined ? undefined : START_TS + second * 1_000;
        const found = secondsOf(ringWith(...sorted).decisions({ at: ms(at), since: ms(since), limit }));
        expect(found.length).toBeLessThanOrEqual(limit);
        expect(found).toEqual(found.toSorted((a, b) => a - b));
        if (at !== undefined && sorted.some((second) => second <= at)) {
          expect(found).toContain(sorted.findLast((second) => second <= at));
        }
      }),
    );
  });
});

describe('an answer', () => {
  test('says in words and as data what is asked for', () => {
    const ring = ringWith(1, 5);
    ring.inference(inferenceAt(START_TS + 5_000));
    const { lines, explanation } = explain(ring, { at: START_TS + 5_500 }, START_TS + 60_000);
    expect(parseExplanation(JSON.parse(JSON.stringify(explanation)), 'explanation')).toEqual(explanation);
    expect(explanation).toMatchObject({
      at: START_TS + 5_500,
      oldestTs: START_TS + 1_000,
      around: { inferences: 1 },
    });
    expect(lines.filter((line) => line.includes('switch cpu/2 -> cpu/1'))).toHaveLength(2);
    expect(lines.at(-1)).toContain('1 inferences, 0 too late');
  });

  test('of an agent that never had to decide says so', () => {
    const { lines, explanation } = explain(createExplainRing(), {}, START_TS);
    expect(explanation).toEqual({ ts: START_TS, decisions: [] });
    expect(lines).toEqual([expect.stringContaining('no decision since the agent was started')]);
  });

  test('fits a message of the protocol, and says how much it leaves out', () => {
    const points = Array.from(
      { length: 60 },
      (_, level) => ({ pe: 'cpu', level, accuracy: 0.51234567, latencyMs: 1 }) as const,
    );
    const candidates = points.map((_, point) => ({
      point,
      predictedMs: 1.23456789012,
      missProbability: 0.123456789012,
      energyJ: 0.123456789,
      value: 0.123456789,
      excludedBy: 'energy' as const,
    }));
    const ring = createExplainRing();
    for (let second = 0; second < 100; second += 1) {
      ring.decision(
        switchAt(START_TS + second * 1_000, { profile: points, decision: decisionOf({ candidates }) }),
      );
    }
    const answer = explain(ring, { limit: 100 }, START_TS + 200_000);
    const { decisions, leftOut = 0 } = answer.explanation;
    const message = encodeMessage('commandResult', { v: 1, state: 'done', ts: START_TS, ...answer });
    expect(Buffer.byteLength(message)).toBeLessThan(MAX_MESSAGE_BYTES);
    expect(decisions.length).toBeGreaterThan(2);
    expect(decisions.length + leftOut).toBe(100);
    expect(secondsOf(decisions).at(-1)).toBe(99);
  });
});

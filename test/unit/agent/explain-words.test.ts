import { describe, expect, test } from 'vitest';
import { recordOf } from '../../../agent/explain/record.ts';
import { describeRecord, explainDecision } from '../../../agent/explain/words.ts';
import { START_TS } from '../../support/agent.ts';
import { decisionOf, PROFILE, switchAt } from '../../support/decisions.ts';

describe('a decision in a line', () => {
  test('says why, what was expected and what was asked for', () => {
    const requirement = {
      latencyMs: 20,
      missShare: 0.02,
      accuracyFloor: 0.9,
      powerW: 7,
      energyJ: 0.05,
      tempC: 80,
      price: 0.02,
      priority: 'latency,energy',
    };
    expect(explainDecision(decisionOf(), requirement, PROFILE)).toBe(
      'a better level would not meet the latency budget (18ms predicted on cpu/1, too late with probability 3%, ' +
        '20ms left, budget 20ms of which 2% may miss, accuracy floor 90%, power 7W, energy 50mJ per inference, ' +
        'temperature 80C, price 0.02 per joule)',
    );
    const gaveWay = decisionOf({ cause: 'gave-way', gaveWay: ['energy'] });
    expect(explainDecision(gaveWay, requirement, PROFILE)).toContain(
      'energy gives way (18ms predicted on cpu/1, too late with probability 3%, 20ms left, budget 20ms',
    );
    expect(explainDecision(gaveWay, requirement, PROFILE)).toContain('priority latency,energy)');
  });

  test.each([
    [{ cause: 'best' }, 'the best level meets every limit'],
    [{ cause: 'gave-way', gaveWay: ['latency'] }, 'nothing meets every limit: latency gives way'],
    [{ cause: 'gave-way', gaveWay: ['energy', 'accuracy'] }, 'energy and accuracy give way'],
    [{ cause: 'too-late', point: undefined }, 'not even the fastest level'],
    [{ timeLeftMs: -17.25 }, '17.3ms past its time'],
    [{ cause: 'policy' }, 'the policy in force chose it'],
  ] as const)('%j', (change, words) => {
    expect(explainDecision(decisionOf(change), {}, PROFILE)).toContain(words);
  });

  test('without limits and without numbers it is a line still', () => {
    const decision = decisionOf({
      predictedMs: Number.NaN,
      missProbability: Number.NaN,
      timeLeftMs: Number.POSITIVE_INFINITY,
    });
    expect(explainDecision(decision, {}, [])).toBe(
      'a better level would not meet the latency budget (no limits)',
    );
  });
});

describe('a decision in several lines', () => {
  test('of a switch: what happened, every candidate with its verdict, what bound, and the outcome', () => {
    expect(describeRecord(recordOf(switchAt(START_TS)))).toEqual([
      '2023-11-14T22:13:20.000Z  switch cpu/2 -> cpu/1',
      '  why:       a better level would not meet the latency budget',
      '  expected:  18ms predicted on cpu/1, too late with probability 3%, 20ms left',
      '  limits:    budget 20ms of which 5% may miss, accuracy floor 90%, priority latency',
      '  bound by:  latency (keeps out cpu/2)',
      '  candidates:',
      '    POINT  ACCURACY  PREDICTED  TOO-LATE  ENERGY  VALUE  VERDICT',
      '    cpu/0     89.5%       12ms        1%    20mJ  0.895  -',
      '    cpu/1       91%       18ms        3%    30mJ   0.91  chosen',
      '    cpu/2       93%       36ms       97%       -   0.93  out: latency',
      '    gpu/2       93%          -        1%       -   0.93  not loaded',
      '  outcome:   16.3ms, in time',
    ]);
  });

  test('of a violation: which limit, and whether it begins or ends', () => {
    const violated = (state: 'begins' | 'ends') =>
      describeRecord(
        recordOf(switchAt(START_TS, { kind: 'violation', violation: { limit: 'energy', state } })),
      )[0];
    expect(violated('begins')).toContain('energy cannot be met, on cpu/1');
    expect(violated('ends')).toContain('energy can be met again, on cpu/1');
  });

  test('of a frame that was shed, and of an inference that was late', () => {
    const decision = decisionOf({ point: undefined, cause: 'too-late' });
    const shed = recordOf(switchAt(START_TS, { kind: 'shed', decision, outcome: undefined }));
    expect(describeRecord(shed)[0]).toContain('frame shed');
    expect(describeRecord(shed).at(-1)).toContain('no inference was made');
    const late = recordOf(switchAt(START_TS, { outcome: { latencyMs: 31, missed: true } }));
    expect(describeRecord(late).at(-1)).toContain('31ms, too late');
  });
});

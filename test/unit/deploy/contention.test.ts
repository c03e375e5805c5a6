import { describe, expect, it } from 'vitest';
import { parseCoreList } from '../../../deploy/contend/cores.ts';
import { budgetUnderContention, calmContendedCalm } from '../../../deploy/contend/plan.ts';
import {
  formatSteps,
  nextStepMs,
  parseSteps,
  parseWorkers,
  scriptMs,
  stepAt,
} from '../../../deploy/contend/script.ts';
import { type Phase, phaseFigures, timed } from '../../../deploy/demo/contention-figures.ts';
import { drawContention, phaseTable } from '../../../deploy/demo/contention-text.ts';
import { type DeviceInference, gather } from '../../../deploy/demo/inference-source.ts';

const START_TS = 1_700_000_000_000;
const BUDGET_MS = 3;

function inferenceAt(atMs: number, level: number, latencyMs: number): DeviceInference {
  return {
    ts: START_TS + atMs,
    monoMs: 5_000 + atMs,
    pe: 'cpu',
    level,
    latencyMs,
    budgetMs: BUDGET_MS,
    missed: latencyMs > BUDGET_MS,
  };
}

/** One inference every 50 ms: level 4, late for a second when the load begins at 3 s, then level 2; 4 again from 6.2 s on. */
const INFERENCES = Array.from({ length: 180 }, (_, index) => {
  const atMs = index * 50;
  if (atMs < 3_000) return inferenceAt(atMs, 4, 2);
  if (atMs < 4_000) return inferenceAt(atMs, 4, 4);
  return inferenceAt(atMs, atMs < 6_200 ? 2 : 4, 2);
});
const PHASES: readonly Phase[] = [
  { name: 'calm', fromMs: 0, toMs: 3_000, duty: 0 },
  { name: 'contended', fromMs: 3_000, toMs: 6_000, duty: 0.6 },
  { name: 'calm again', fromMs: 6_000, toMs: 9_000, duty: 0 },
];

describe('a script of contention', () => {
  it('is read as people write it, and written so that it reads the same', () => {
    const steps = parseSteps('0s=0%,5s=90%,15s=0%', '--script');
    expect(steps).toEqual([
      { atMs: 0, duty: 0 },
      { atMs: 5_000, duty: 0.9 },
      { atMs: 15_000, duty: 0 },
    ]);
    expect(parseSteps(formatSteps({ kind: 'integer', workers: 1, steps }), '--script')).toEqual(steps);
  });

  it.each([
    '',
    '0s=50%',
    '1s=0%,2s=0%',
    '0s=0%,0s=1',
    '0s=0%,5s=150%',
    '0s,5s',
    '0s=0%=1,2s=0%',
    '0=0%,5=0%',
  ])('is refused where it says nothing that can be done: %s', (text) => {
    expect(() => parseSteps(text, '--script')).toThrow(/^--script: /);
  });

  it('is in force from its beginning to its last step', () => {
    const script = calmContendedCalm(9_000, 0.5);
    expect([-1, 0, 2_999, 3_000, 5_999, 6_000, 9_000].map((ms) => stepAt(script, ms)?.duty)).toEqual([
      undefined,
      0,
      0,
      0.5,
      0.5,
      0,
      undefined,
    ]);
    expect(scriptMs(script)).toBe(9_000);
    expect([nextStepMs(script, -5), nextStepMs(script, 0), nextStepMs(script, 9_000)]).toEqual([
      0, 3_000, 9_000,
    ]);
  });

  it('has at least one worker and not too many', () => {
    expect(parseWorkers('3', '--workers')).toBe(3);
    for (const text of ['0', '65', '1.5', 'x', ''])
      expect(() => parseWorkers(text, '--workers')).toThrow('from 1 to 64');
  });

  it('knows the cores that the kernel names', () => {
    expect(parseCoreList('0-3,6')).toEqual([0, 1, 2, 3, 6]);
    expect(parseCoreList('')).toEqual([]);
    expect(parseCoreList('3-1,x,99999')).toEqual([]);
  });
});

describe('the demonstration', () => {
  it('sets a budget that the largest level meets, and not at twice its latency', () => {
    const budgetMs = budgetUnderContention([0.9, 1, 1.87]);
    expect(budgetMs).toBe(3.4);
    expect(budgetUnderContention([])).toBeNaN();
  });

  it('gathers each inference once, though asked times overlap', async () => {
    const asked: number[] = [];
    const source = {
      since: async (ts: number) => {
        asked.push(ts);
        return INFERENCES.filter((inference) => inference.ts >= ts).slice(0, 100);
      },
    };
    const gathered = gather(source, START_TS);
    for (let round = 0; round < 4; round += 1) await gathered.refresh();
    expect(gathered.all).toEqual(INFERENCES);
    expect(asked).toEqual([START_TS, START_TS + 4_950, START_TS + 8_950, START_TS + 8_950]);
  });

  it('says of each phase what was late, at which level, and when it had settled', () => {
    const accuracyOf = (level: number): number => 0.9 + level / 100;
    const figures = phaseFigures(timed(INFERENCES, START_TS), PHASES, accuracyOf);
    expect(figures).toMatchObject([
      { inferences: 60, misses: 0, latencyMeanMs: 2, levelMean: 4, switches: 0, settleMs: null },
      { inferences: 60, misses: 20, missShare: 1 / 3, switches: 1, settleMs: 1_000 },
      { inferences: 60, misses: 0, switches: 1, settleMs: 200 },
    ]);
    expect(figures[0]?.accuracyMean).toBeCloseTo(0.94);
  });

  it('has figures of phases in which nothing happened', () => {
    const [figures] = phaseFigures([], PHASES, () => 1);
    expect(figures).toMatchObject({ inferences: 0, missShare: null, levelMean: null, settleMs: null });
    expect(phaseTable(phaseFigures([], PHASES, () => 1))).toContain('calm again');
  });

  it('draws latency over level with the load marked', () => {
    const picture = { inferences: timed(INFERENCES, START_TS), phases: PHASES, budgetMs: BUDGET_MS };
    const text = drawContention(picture, { width: 70, color: false }).join('\n');
    expect(text).toMatch(/▼load begins +▼load ends/);
    expect(text).toContain('budget 3ms');
    expect(text).toMatch(/▴ +▴/);
    expect(text).toMatch(/4┤━+┃/);
  });
});

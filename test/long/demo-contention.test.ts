import { expect, test } from 'vitest';
import { runDemo } from '../support/demo.ts';

interface Document {
  readonly budgetMs: number;
  readonly operatingPoints: readonly { readonly latencyMs: number }[];
  readonly phases: readonly {
    readonly name: string;
    readonly inferences: number;
    readonly misses: number;
    readonly latencyMeanMs: number;
  }[];
  readonly inferences: readonly {
    readonly atMs: number;
    readonly level: number;
    readonly latencyMs: number;
  }[];
}

/** Length of the demonstration: long enough for every phase to have inferences of a slow machine. */
const FOR = '6s';

test('a demonstration under contention draws latency over level, and says what each phase came to', async () => {
  const { status, stdout, stderr } = await runDemo('--contention', '--for', FOR, '-o', 'json');
  expect(status).toBe(0);
  expect(stderr).toMatch(/▼load begins +▼load ends\n +latency in ms, budget .*\n(.*\n)+ +level\n/);
  expect(stderr).toMatch(/^PHASE .* SETTLED\ncalm .*\ncontended .*\ncalm again .*\n/m);
  const document = JSON.parse(stdout) as Document;
  expect(document.phases.map(({ name }) => name)).toEqual(['calm', 'contended', 'calm again']);
  for (const { inferences, misses, latencyMeanMs } of document.phases) {
    expect(inferences).toBeGreaterThan(5);
    expect(misses).toBeLessThanOrEqual(inferences);
    expect(latencyMeanMs).toBeGreaterThan(0);
  }
  const largestMs = Math.max(...document.operatingPoints.map(({ latencyMs }) => latencyMs));
  expect(document.budgetMs / largestMs).toBeCloseTo(1.5, 0);
  const { inferences } = document;
  expect(inferences.map(({ atMs }) => atMs)).toEqual(
    inferences.map(({ atMs }) => atMs).toSorted((a, b) => a - b),
  );
});

import type { Profile } from '../../agent/runtime/points.ts';
import { policyOf } from '../../agent/runtime/policies/registry.ts';
import { seededRandom } from '../../shared/random.ts';
import { median, quantile } from '../../shared/statistics.ts';
import { type Figure, judged } from './report.ts';
import { OURS } from './runtime-simulation-bars.ts';

const WARM_UP = 5_000;
/** A quantile is the median of those of the blocks: what else the machine does hits a few of them. */
const BLOCKS = 21;
const DECISIONS_PER_BLOCK = 2_000;
const DECISIONS = BLOCKS * DECISIONS_PER_BLOCK;
const PERIOD_MS = 66.7;
const BAR_US = 20;
const LEVELS = 7;

/** What a decision of ours costs, its reasons included, and what learning from an inference costs. */
export async function decideFigures(): Promise<Figure[]> {
  const { decideUs, observeUs } = timeDecisions(twoElements());
  const unit = { unit: 'us', better: 'lower' } as const;
  return [
    judged({ name: 'decide_p99_us', value: ofBlocks(decideUs, 0.99), ...unit, bar: BAR_US }),
    { name: 'decide_p50_us', value: ofBlocks(decideUs, 0.5), ...unit },
    { name: 'observe_p99_us', value: ofBlocks(observeUs, 0.99), ...unit },
  ];
}

function ofBlocks(timesUs: readonly number[], q: number): number {
  const blocks = Array.from({ length: BLOCKS }, (_, block) =>
    timesUs.slice(block * DECISIONS_PER_BLOCK, (block + 1) * DECISIONS_PER_BLOCK),
  );
  return median(blocks.filter((block) => block.length > 0).map((block) => quantile(block, q)));
}

/** Seven levels on either processing element. */
function twoElements(): Profile {
  return (['cpu', 'gpu'] as const).flatMap((pe) =>
    Array.from({ length: LEVELS }, (_, level) => {
      const latencyMs = (pe === 'cpu' ? 50 : 40) + 4 * level;
      return { pe, level, accuracy: 0.74 + 0.01 * level, latencyMs, energyJ: latencyMs / 100 };
    }),
  );
}

/** A machine whose slowdown changes now and then, as all that a manager learns from does. */
function timeDecisions(profile: Profile): { decideUs: number[]; observeUs: number[] } {
  const random = seededRandom(1);
  const policy = policyOf(OURS).start(profile);
  const requirement = {
    latencyMs: PERIOD_MS,
    missShare: 0.02,
    accuracyFloor: 0.74,
    energyJ: 0.6,
    price: 0.01,
  };
  const decideUs: number[] = [];
  const observeUs: number[] = [];
  let slowdown = 1;
  for (let frame = -WARM_UP; frame < DECISIONS; frame += 1) {
    if (random.below(100) === 0) slowdown = 1 + random.below(50) / 100;
    const nowMs = (frame + WARM_UP) * PERIOD_MS;
    const situation = { requirement, nowMs, arrivedMs: nowMs };
    const startedUs = 1_000 * performance.now();
    const { point } = policy.decide(situation, profile);
    const decidedUs = 1_000 * performance.now();
    if (point === undefined) continue;
    const latencyMs = (profile[point]?.latencyMs ?? 0) * slowdown * Math.exp(0.035 * random.normal());
    const about = { startedMs: nowMs, nowMs: nowMs + latencyMs, budgetMs: PERIOD_MS, requirement };
    const beforeUs = 1_000 * performance.now();
    policy.observe({ kind: 'inference', point, latencyMs, ...about }, profile);
    const afterUs = 1_000 * performance.now();
    if (frame < 0) continue;
    decideUs.push(decidedUs - startedUs);
    observeUs.push(afterUs - beforeUs);
  }
  return { decideUs, observeUs };
}

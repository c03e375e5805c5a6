import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { parseLatencyTable } from '../../models/latency/table.ts';
import { parseSafetensors } from '../../models/ofa/safetensors.ts';
import type { SearchSpace } from '../../models/ofa/space.ts';
import { mobileNetV3Space } from '../../models/ofa/spaces.ts';
import { publishedMlp } from '../../models/predictor/published-mlp.ts';
import { bestUnder } from '../../models/search/archive.ts';
import type { Restriction } from '../../models/search/genome.ts';
import { type Front, searchFront } from '../../models/search/search.ts';
import { median } from '../../shared/statistics.ts';
import { referencePath } from '../support/reference.ts';
import { type Figure, judged } from './report.ts';

const FOLDER = 'dynamic-ofa';
const SEED = 1;
const TIME_BAR_S = 1.5;
const THREADS = 2;
/** The time is the median of so many whole searches, the first of them cold: the machine is noisy. */
const RUNS = 3;

/** The search spaces of the recorded runs. */
const RESTRICTIONS: Readonly<Record<string, Restriction>> = {
  full17: {},
  'as-is': { ks: [5, 7], e: [4, 6], d: [3, 4], r: [208, 212, 216, 220] },
};

interface RecordedRun {
  readonly space: string;
  readonly limit_ms: number;
  readonly best_acc: number;
}

/** How long a whole front takes, and what it gains over the best recorded run at each recorded limit. */
export async function searchFigures(): Promise<Figure[]> {
  const folder = referencePath(FOLDER);
  const time = { name: 'search_front_s', unit: 's', better: 'lower', bar: TIME_BAR_S } as const;
  const gain = { name: 'search_gain_min', unit: 'fraction', better: 'higher', bar: 0 } as const;
  if (!existsSync(folder)) {
    const reason = `there is no ${folder}; set OFA_REFERENCE`;
    return [time, gain].map((figure) => ({ ...figure, value: null, reason }));
  }
  const recorded = await recordedBests();
  const fronts = new Map<string, Front>();
  const secondsOf = new Map<string, number>();
  for (const [name, restrict] of Object.entries(RESTRICTIONS)) {
    const seconds: number[] = [];
    for (let run = 0; run < RUNS; run += 1) {
      const before = performance.now();
      fronts.set(name, await publishedFront({ restrict, seed: SEED, threads: THREADS }));
      seconds.push((performance.now() - before) / 1_000);
    }
    secondsOf.set(name, median(seconds));
  }
  const gains = recorded.map(({ space, limitMs, accuracy }) => {
    const found = bestUnder(fronts.get(space)?.points ?? [], limitMs)?.accuracy ?? 0;
    return found - accuracy;
  });
  return [
    judged({ ...time, value: secondsOf.get('full17') ?? Number.NaN }),
    judged({ ...gain, value: Math.min(...gains) }),
  ];
}

/** The space in which the published runs searched. */
export function publishedSpace(): SearchSpace {
  const resolutions = Array.from({ length: 17 }, (_, index) => 160 + 4 * index);
  return { ...mobileNetV3Space({ widthMultiplier: 1.2 }), resolutions };
}

/** The front by the published predictor and table, reading and session creation included. */
export async function publishedFront({
  restrict,
  seed,
  threads,
  device = 'jetson_GPU',
}: {
  readonly restrict: Restriction;
  readonly seed: number;
  readonly threads: number;
  readonly device?: string;
}): Promise<Front> {
  const space = publishedSpace();
  const name = `latency_${device}.json`;
  const table = parseLatencyTable(await readFile(referencePath(FOLDER, name), 'utf8'), name);
  const weights = await readFile(referencePath(FOLDER, 'acc_predictor.safetensors'));
  const predictor = await publishedMlp(parseSafetensors(weights, 'acc_predictor.safetensors'), space, {
    threads,
  });
  try {
    return await searchFront({ space, predictor, latency: { fp32: table }, seed, restrict });
  } finally {
    await predictor.close();
  }
}

/** The best accuracy that any recorded run reached, by space and limit. */
export async function recordedBests(): Promise<{ space: string; limitMs: number; accuracy: number }[]> {
  const text = await readFile(referencePath(FOLDER, 'search.json'), 'utf8');
  const { runs } = JSON.parse(text) as { runs: RecordedRun[] };
  const groups = Map.groupBy(runs, (run) => `${run.space} ${run.limit_ms}`);
  return [...groups.values()].map((group) => ({
    space: group[0]?.space ?? '',
    limitMs: group[0]?.limit_ms ?? 0,
    accuracy: Math.max(...group.map((run) => run.best_acc)),
  }));
}

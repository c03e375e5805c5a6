import { join } from 'node:path';
import { systemClock } from '../../shared/clock.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import type { ReportedPoint } from '../../shared/protocol/reported.ts';
import { formatDurationMs } from '../../shared/units.ts';
import { machineMs } from '../contend/monotonic.ts';
import { BUDGET_FACTOR, budgetUnderContention, calmContendedCalm } from '../contend/plan.ts';
import type { ContentionScript } from '../contend/script.ts';
import { startContender } from '../contend/start.ts';
import type { DemoApi, ShownEvent } from './api.ts';
import { type Phase, phaseFigures, timed } from './contention-figures.ts';
import { drawContention, phaseTable } from './contention-text.ts';
import { DEMO_FRAME_RATE, startAgent } from './fleet.ts';
import { agentInferences, type Gathered, gather } from './inference-source.ts';
import { createPicture, eventLine } from './live.ts';
import type { DemoOptions } from './options.ts';
import { openStage, say, streamOf } from './stage.ts';

/** Length of all phases together where none is asked for. */
const DEFAULT_MS = 30_000;
const REFRESH_MS = 1_000;
/** A device reports its operating points once it has measured them. */
const START_TIMEOUT_MS = 120_000;
const POLL_MS = 100;
/** Time for the budget to come into force, and for the contender to start, before the first phase. */
const LEAD_MS = 2_000;
const EXPLANATIONS = 3;
const PIPE_COLUMNS = 100;

/** Runs one device on a calm machine, under contention, and on a calm one again, and draws what it did. */
export async function demonstrateContention(options: DemoOptions): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const { stateDir, controller, stopped } = await openStage(options, stack);
  say(options, `\nAPI    ${controller.apiUrl}\nOne device measures its levels ...\n`);
  const agent = await startAgent(stateDir, 0, controller.mqttUrl);
  stack.defer(() => agent.stop());

  const { api } = controller;
  const points = await operatingPoints(api, agent.device, stopped.signal);
  if (stopped.signal.aborted) return;
  const budgetMs = budgetUnderContention(points.map(({ latencyMs }) => latencyMs));
  await api.setBudget({ latencyMs: budgetMs });
  const script = calmContendedCalm(options.forMs ?? DEFAULT_MS);
  say(options, introduction(points, budgetMs, script));
  const startTs = systemClock.now() + LEAD_MS;
  const logFile = join(stateDir, 'contender.log');
  const contender = await startContender({ script, startMs: machineMs() + LEAD_MS, logFile });
  stack.defer(() => contender.stop());

  const gathered = gather(agentInferences(agent.stateDir), startTs);
  const show: Show = { api, device: agent.device, points, budgetMs, phases: phasesOf(script), startTs };
  await watch(gathered, show, options, stopped.signal);
  await finish(gathered, show, options);
}

/** What the picture and the summary are made of. */
interface Show {
  readonly api: DemoApi;
  readonly device: string;
  readonly points: readonly ReportedPoint[];
  readonly budgetMs: number;
  readonly phases: readonly Phase[];
  /** Wall clock at the beginning of the first phase. */
  readonly startTs: number;
}

/** The operating points that the device reports, once it does; none when it was told to stop before. */
async function operatingPoints(
  api: DemoApi,
  device: string,
  stopped: AbortSignal,
): Promise<readonly ReportedPoint[]> {
  const endMs = systemClock.monoMs() + START_TIMEOUT_MS;
  while (systemClock.monoMs() < endMs) {
    const points = await api.operatingPoints(device);
    if (points.length > 0 || stopped.aborted) return points;
    await systemClock.sleep(POLL_MS, stopped).catch(() => undefined);
  }
  throw new AppError('timeout', `${device}: no operating points were reported`);
}

function introduction(points: readonly ReportedPoint[], budgetMs: number, script: ContentionScript): string {
  const list = points.map(({ level, latencyMs }) => `${level}: ${formatDurationMs(latencyMs)}`).join(', ');
  const [, contention] = script.steps;
  return `
Levels take ${list}.
Latency budget ${formatDurationMs(budgetMs)}: ${BUDGET_FACTOR.toFixed(1)} times what the largest level takes, so that it fits while the
machine is calm, and no longer when load makes it slower than that. ${DEMO_FRAME_RATE} frames a second.
Calm, then load on all ${script.workers} cores (${Math.round(100 * (contention?.duty ?? 0))} % of their time), then calm: ${formatDurationMs(
    contention?.atMs ?? 0,
  )} each.

`;
}

const PHASE_NAMES = ['calm', 'contended', 'calm again'] as const;

function phasesOf({ steps }: ContentionScript): Phase[] {
  return PHASE_NAMES.map((name, index) => ({
    name,
    fromMs: steps[index]?.atMs ?? 0,
    toMs: steps[index + 1]?.atMs ?? 0,
    duty: steps[index]?.duty ?? 0,
  }));
}

/** Draws while it goes on: in place on a terminal, elsewhere only a word at the beginning of each phase. */
async function watch(
  gathered: Gathered,
  show: Show,
  options: DemoOptions,
  stopped: AbortSignal,
): Promise<void> {
  const picture = createPicture(streamOf(options));
  const endMs = (show.phases.at(-1)?.toMs ?? 0) + REFRESH_MS;
  const sinceStart = (): number => systemClock.now() - show.startTs;
  let told: Phase | undefined;
  while (!stopped.aborted && sinceStart() < endMs) {
    const waitMs = Math.min(REFRESH_MS, endMs - sinceStart());
    await systemClock.sleep(Math.max(1, waitMs), stopped).catch(() => undefined);
    await gathered.refresh().catch((error: unknown) => {
      say(options, `the picture has a gap: ${describeError(error)}\n`);
    });
    const now = show.phases.findLast(({ fromMs }) => fromMs <= sinceStart());
    if (picture.inPlace) picture.show(drawn(gathered, show, picture.look()));
    else if (now !== undefined && now !== told)
      say(options, `${formatDurationMs(now.fromMs)}: ${now.name}\n`);
    told = now;
  }
  if (picture.inPlace) picture.clear();
}

function drawn(gathered: Gathered, show: Show, look: { width: number; color: boolean }): string[] {
  return drawContention({ ...show, inferences: timed(gathered.all, show.startTs) }, look);
}

async function finish(gathered: Gathered, show: Show, options: DemoOptions): Promise<void> {
  const inferences = timed(gathered.all, show.startTs);
  const accuracies = new Map(show.points.map(({ level, accuracy }) => [level, accuracy]));
  const phases = phaseFigures(inferences, show.phases, (level) => accuracies.get(level) ?? Number.NaN);
  const explanations = await switchesExplained(show);
  const stream = streamOf(options);
  const look = { width: stream.columns ?? PIPE_COLUMNS, color: createPicture(stream).look().color };
  say(options, `${drawn(gathered, show, look).join('\n')}\n\n${phaseTable(phases)}\n`);
  say(options, explanations.map((event) => `${eventLine(event)}\n`).join(''));
  if (!options.json) return;
  const { budgetMs, points, startTs } = show;
  const document = { budgetMs, startTs, operatingPoints: points, phases, explanations, inferences };
  process.stdout.write(`${JSON.stringify(document)}\n`);
}

/** The first switch after each change of the load, and then others, until there are enough. */
async function switchesExplained({ api, device, phases, startTs }: Show): Promise<ShownEvent[]> {
  const MANY = 200;
  const events = await api.newestEvents(MANY, startTs);
  const switches = events
    .filter((event) => event.kind === 'switch' && event.device === device)
    .toSorted((a, b) => a.ts - b.ts);
  const firsts = phases.slice(1).flatMap(({ fromMs }) => {
    return switches.find(({ ts }) => ts >= startTs + fromMs) ?? [];
  });
  const chosen = new Set([...firsts, ...switches]);
  return [...chosen].slice(0, EXPLANATIONS).toSorted((a, b) => a.ts - b.ts);
}

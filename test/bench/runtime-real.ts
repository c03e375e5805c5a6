import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Engine, startEngine } from '../../agent/engine/engine.ts';
import { type RecordOptions, type Runner, recordTrace } from '../../agent/record/record.ts';
import { createInferencer, type InferenceOutcome } from '../../agent/runtime/inference.ts';
import type { Profile } from '../../agent/runtime/points.ts';
import { staticPolicy } from '../../agent/runtime/policies/static-level.ts';
import { type RunningPolicy, startPolicy } from '../../agent/runtime/policy.ts';
import type { FrameOutcome, ReplayOptions } from '../../agent/simulate/replay.ts';
import type { Trace } from '../../agent/simulate/trace.ts';
import { allowedCores } from '../../deploy/contend/cores.ts';
import { machineMs } from '../../deploy/contend/monotonic.ts';
import { budgetUnderContention, CONTENTION_DUTY } from '../../deploy/contend/plan.ts';
import { CONTENTION_KINDS, type ContentionKind, type ContentionScript } from '../../deploy/contend/script.ts';
import { startContender } from '../../deploy/contend/start.ts';
import type { RunningProgram } from '../../deploy/demo/processes.ts';
import { systemClock } from '../../shared/clock.ts';
import type { Requirement } from '../../shared/protocol/requirement.ts';
import { median } from '../../shared/statistics.ts';
import { bundledFamily, bundledImages, cpuPoints } from '../support/bundled.ts';
import type { Figure } from './report.ts';
import { type Outcome, type Repeat, realFigures } from './runtime-real-figures.ts';

/** What is run against the machine's own noise. */
export interface RealRun {
  /** Starts the policy under test, with nothing learnt. */
  readonly startPolicy: (profile: Profile) => RunningPolicy;
  readonly replay: (trace: Trace, policy: RunningPolicy, options: ReplayOptions) => FrameOutcome[];
  /** Default 5. */
  readonly repeats?: number;
  /** Length of one repeat, default 24 s. */
  readonly repeatMs?: number;
  /** Told of each repeat when it is over: its trace can be kept for the simulator. */
  readonly onRepeat?: (repeat: Repeat, index: number) => Promise<void>;
}

const REPEATS = 5;
const REPEAT_MS = 24_000;
/** Between two inferences, whichever level or policy they belong to. */
const SLOT_MS = 10;
/** The policy runs twice in every frame, as two that know nothing of each other: the harness against itself. */
const LIVE = 2;
const MISS_SHARE = 0.02;
const PROFILE_FRAMES = 50;
const IMAGES = 500;
const RUN_TIMEOUT_MS = 30_000;

/**
 * Real inference of the bundled family with real load on the CPU, paired: in each frame every level and the
 * policy take turns, so that all meet the same load within milliseconds. The levels' latencies are static
 * policies run live, and at once the paired trace over which the policy is replayed.
 */
export async function realRunFigures(run: RealRun): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'ofa-bench-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const engine = stack.use(await startBundled());
  const images = (await bundledImages(IMAGES)).map(({ pixels }) => pixels);
  const profile = await profileOf(engine, images);
  const latencyMs = budgetUnderContention(profile.map((point) => point.latencyMs));
  const stage: Stage = { engine, images, profile, folder, requirement: { latencyMs, missShare: MISS_SHARE } };
  const repeats: Repeat[] = [];
  for (let index = 0; index < (run.repeats ?? REPEATS); index += 1) {
    const repeat = await oneRepeat(stage, run);
    await run.onRepeat?.(repeat, index);
    repeats.push(repeat);
  }
  return realFigures({ repeats, profile, budgetMs: latencyMs });
}

async function startBundled(): Promise<Engine> {
  const family = await bundledFamily();
  const { input, output } = family.manifest;
  const onFatal = (error: Error): void => {
    throw error;
  };
  return await startEngine({
    points: cpuPoints(family),
    input,
    output,
    runTimeoutMs: RUN_TIMEOUT_MS,
    clock: systemClock,
    onFatal,
  });
}

/** Medians of a recording on the calm machine, at the pace of what follows. */
async function profileOf(engine: Engine, images: readonly Uint8Array[]): Promise<Profile> {
  const { levels } = (await bundledFamily()).manifest;
  const stated = levels.map(({ accuracy, latencyMs = 1 }, level) => ({
    pe: 'cpu' as const,
    level,
    accuracy,
    latencyMs,
  }));
  const periodMs = SLOT_MS * levels.length;
  let next = 0;
  const nextFrame = async (): Promise<Uint8Array> => imageOf(images, next++);
  const options = { periodMs, deadlineMs: periodMs, frames: PROFILE_FRAMES, nextFrame, clock: systemClock };
  const { latencyMs } = await recordTrace(engine, stated, options, new AbortController().signal);
  return stated.map((point) => ({
    ...point,
    latencyMs: median(latencyMs.map((row) => row[point.level] ?? Number.NaN)),
  }));
}

function imageOf(images: readonly Uint8Array[], index: number): Uint8Array {
  return images[index % images.length] ?? new Uint8Array();
}

interface Stage {
  readonly engine: Engine;
  readonly images: readonly Uint8Array[];
  readonly profile: Profile;
  readonly folder: string;
  readonly requirement: Requirement & { readonly latencyMs: number };
}

/** Parts of the script, each as long as the others, with what loads the CPU. */
const PHASES = ['calm', 'integer', 'memory', 'calm_again'] as const;

function scriptOf(kind: ContentionKind, totalMs: number): ContentionScript {
  const steps = [...PHASES, 'end'].map((phase, index) => ({
    atMs: (index * totalMs) / PHASES.length,
    duty: phase === kind ? CONTENTION_DUTY : 0,
  }));
  return { kind, workers: Math.max(1, allowedCores().length), steps };
}

/** Both contenders, by the same clock. */
async function startContenders(startMs: number, totalMs: number, folder: string): Promise<RunningProgram[]> {
  const logFile = join(folder, 'contender.log');
  const scripts = CONTENTION_KINDS.map((kind) => scriptOf(kind, totalMs));
  return await Promise.all(scripts.map((script) => startContender({ script, startMs, logFile })));
}

async function oneRepeat(stage: Stage, run: RealRun): Promise<Repeat> {
  const { profile, requirement, images } = stage;
  const totalMs = run.repeatMs ?? REPEAT_MS;
  const periodMs = SLOT_MS * (profile.length + LIVE);
  const live = Array.from({ length: LIVE }, () => createLive(stage, run.startPolicy(profile)));
  let next = 0;
  let contenders: Promise<RunningProgram[]> | undefined;
  const options: RecordOptions = {
    periodMs,
    deadlineMs: requirement.latencyMs,
    frames: Math.floor(totalMs / periodMs),
    nextFrame: async () => imageOf(images, next++),
    clock: systemClock,
    alongside: live.map(
      ({ infer }) =>
        async (pixels) =>
          void (await infer(pixels)),
    ),
    onStart: (startMs) => {
      const start = machineMs() + startMs - systemClock.monoMs();
      contenders = startContenders(start, totalMs, stage.folder);
    },
  };
  try {
    const trace = await recordTrace(staticRunner(stage), profile, options, new AbortController().signal);
    const replayed = run.replay(trace, run.startPolicy(profile), { profile, requirement });
    const phases = trace.latencyMs.map((_, frame) => {
      const atMs = trace.arrivalMs?.[frame] ?? frame * periodMs;
      return PHASES[Math.floor((atMs / totalMs) * PHASES.length)] ?? 'calm';
    });
    return { trace, live: live.map(({ outcomes }) => outcomes), replayed, phases };
  } finally {
    for (const contender of (await contenders) ?? []) await contender.stop();
  }
}

/** The policy in the agent's own path from a frame to its answer, beside others on the same engine. */
function createLive({ engine, profile, requirement }: Stage, policy: RunningPolicy) {
  const outcomes: Outcome[] = [];
  const inferencer = createInferencer({
    engine,
    policy,
    profile: () => profile,
    requirement: () => requirement,
    clock: systemClock,
    onUnusable: (point, reason) => {
      throw new Error(`operating point ${point} cannot run: ${reason}`);
    },
  });
  const infer = async (pixels: Uint8Array): Promise<InferenceOutcome> => {
    const done = await inferencer.infer({ pixels, arrivedMs: systemClock.monoMs() });
    if (done.kind === 'shed') outcomes.push({ met: false, goodput: 0, point: undefined });
    else {
      const { missed, point, index } = done;
      outcomes.push({ met: !missed, goodput: missed ? 0 : point.accuracy, point: index });
    }
    return done;
  };
  return { infer, outcomes };
}

/**
 * Every level as a policy that never leaves it, in the same path: what the trace holds is what an agent without
 * a manager would have taken, not what the bare engine takes.
 */
function staticRunner(stage: Stage): Runner {
  const policies = stage.profile.map((_, point) =>
    createLive(stage, startPolicy(staticPolicy(point), stage.profile)),
  );
  return {
    run: async (point, pixels) => {
      const done = await policies[point]?.infer(pixels);
      if (done?.kind !== 'done') throw new Error(`operating point ${point} did not run`);
      return { logits: done.logits, runMs: done.runMs, totalMs: done.latencyMs };
    },
  };
}

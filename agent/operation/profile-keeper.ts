import type { Clock } from '../../shared/clock.ts';
import type { ProfileAnswer } from '../../shared/control/protocol.ts';
import type { ProfileInfo } from '../../shared/protocol/reported.ts';
import type { Profiler } from '../profile/profiler.ts';
import { type Misfit, residualWatch } from '../profile/residual-watch.ts';
import type { OperatingPoint } from '../runtime/points.ts';

export interface ProfileKeeperDeps {
  readonly profiler: Profiler;
  readonly clock: Clock;
  /** Whether a run that takes so long would hold up nobody now. */
  readonly idle: (expectedMs: number) => boolean;
  /** Whether the machine does little else. */
  readonly calm: () => boolean;
  /** Ends a measurement that is under way, and begins no more. */
  readonly signal: AbortSignal;
  /** The profile no longer fits. */
  readonly onStale: (misfit: StaleProfile) => void;
  /** There is another profile in force. @param was that it was told to be stale, if it was */
  readonly onMeasured: (was: StaleProfile | undefined) => void;
  readonly onFailed: (error: unknown) => void;
}

/** How a profile no longer fits, in words. */
export interface StaleProfile {
  /** Undefined where it is all of them. */
  readonly point: Pick<OperatingPoint, 'pe' | 'level'> | undefined;
  readonly reason: string;
}

/** Keeps the profile true: watches whether it still fits, and has it measured anew when it does not. */
export interface ProfileKeeper {
  /** Takes an inference in. @param runMs that it ran */
  inference(index: number, runMs: number): void;
  /** Begins to measure anew; nothing happens when that is under way. */
  measure(): void;
  /** Told the power mode in force: with another one takes the profile that is kept for it, or measures one. */
  powerMode(mode: string): void;
  isMeasuring(): boolean;
  /** Whether a run or a load of a measurement is under way at this moment. */
  isRunning(): boolean;
  /** How many runs and loads measurements have begun. */
  runs(): number;
  info(): ProfileInfo;
  /** That the profile in force no longer fits, if it was told so. */
  stale(): StaleProfile | undefined;
  /** What was measured, in words and as data. */
  answer(): ProfileAnswer;
  /** Resolves when nothing is under way any more; never rejects. */
  settled(): Promise<void>;
}

/** After a measurement that failed, or did not help, the next one waits so long. */
const PAUSE_MS = 600_000;
/** In another power mode nothing of the profile holds: it is tried again sooner. */
const MODE_PAUSE_MS = 60_000;

/** Makes a keeper. */
export function createProfileKeeper(deps: ProfileKeeperDeps): ProfileKeeper {
  const { profiler, clock, signal } = deps;
  const watch = residualWatch(profiler.profile().length);
  const moments = watchMoments(deps.idle);
  let underWay: Promise<void> | undefined;
  let isMeasuring = false;
  let modeInForce = profiler.info().facts.machine.powerMode;
  let stale: StaleProfile | undefined;
  let notBeforeMs = Number.NEGATIVE_INFINITY;
  let modeNotBeforeMs = Number.NEGATIVE_INFINITY;

  const inForce = (): void => {
    const was = stale;
    watch.reset();
    stale = undefined;
    deps.onMeasured(was);
  };
  const remeasure = async (): Promise<void> => {
    isMeasuring = true;
    try {
      await profiler.remeasure(moments.idle, signal);
    } finally {
      isMeasuring = false;
      moments.end();
      notBeforeMs = clock.monoMs() + PAUSE_MS;
    }
    inForce();
  };
  const changeMode = async (mode: string): Promise<void> => {
    modeNotBeforeMs = clock.monoMs() + MODE_PAUSE_MS;
    if (await profiler.adopt()) inForce();
    else await remeasure();
    modeInForce = mode;
    modeNotBeforeMs = Number.NEGATIVE_INFINITY;
  };
  /** One at a time, and none after the end; what goes wrong is told. */
  const begin = (work: () => Promise<void>): void => {
    if (underWay !== undefined || signal.aborted) return;
    underWay = work()
      .catch((error: unknown) => {
        if (!signal.aborted) deps.onFailed(error);
      })
      .finally(() => {
        underWay = undefined;
      });
  };
  return {
    inference: (index, runMs) => {
      const of = profiler.profile()[index];
      if (of === undefined) return;
      const nowMs = clock.monoMs();
      watch.observe({ point: index, ratio: runMs / of.latencyMs, calm: deps.calm(), nowMs });
      const misfit = watch.misfit();
      if (misfit === undefined || underWay !== undefined || nowMs < notBeforeMs) return;
      stale = staleBy(misfit, profiler.profile());
      deps.onStale(stale);
      begin(remeasure);
    },
    measure: () => begin(remeasure),
    powerMode: (mode) => {
      if (mode !== modeInForce && clock.monoMs() >= modeNotBeforeMs) begin(() => changeMode(mode));
    },
    isMeasuring: () => isMeasuring,
    isRunning: moments.isRunning,
    runs: moments.runs,
    info: () => infoOf(profiler, isMeasuring, stale),
    stale: () => stale,
    answer: () => answerOf(profiler, isMeasuring, stale),
    settled: async () => await underWay,
  };
}

/**
 * Follows a measurement through what it asks: each time that it is told to run it does, and asks again only
 * when that is over.
 */
function watchMoments(idle: (expectedMs: number) => boolean) {
  let isRunning = false;
  let runs = 0;
  return {
    idle: (expectedMs: number): boolean => {
      isRunning = false;
      const isIdle = idle(expectedMs);
      // With nothing expected it only asks whether it was disturbed.
      isRunning = isIdle && expectedMs > 0;
      if (isRunning) runs += 1;
      return isIdle;
    },
    end: (): void => {
      isRunning = false;
    },
    isRunning: () => isRunning,
    runs: () => runs,
  };
}

function staleBy(misfit: Misfit, profile: readonly OperatingPoint[]): StaleProfile {
  const times = `${misfit.ratio.toPrecision(3)} times its profile`;
  const of = misfit.kind === 'floor' ? undefined : profile[misfit.point];
  if (of === undefined) {
    return { point: undefined, reason: `even the quickest inferences of late take ${times}` };
  }
  const { pe, level } = of;
  return { point: { pe, level }, reason: `level ${level} on ${pe} takes ${times} beside the others` };
}

function infoOf(profiler: Profiler, isMeasuring: boolean, stale: StaleProfile | undefined): ProfileInfo {
  const { source, measuredTs, facts } = profiler.info();
  const state = isMeasuring ? 'measuring' : source === 'stored' ? 'kept' : 'measured';
  const why = stale === undefined ? {} : { stale: stale.reason };
  return { state, ts: measuredTs, key: keyOf(facts), ...why };
}

function answerOf(profiler: Profiler, measuring: boolean, stale: StaleProfile | undefined): ProfileAnswer {
  const { measuredTs, points, facts } = profiler.info();
  const lines = points.map(({ pe, level, threads, latency: { medianMs, p95Ms } }) => {
    const latency = `${medianMs.toPrecision(3)} ms, p95 ${p95Ms.toPrecision(3)} ms`;
    return `${pe}/${level}  ${latency}, ${threads} thread${threads === 1 ? '' : 's'}`;
  });
  const state = measuring ? ['it is being measured anew, in idle time'] : [];
  const data = { measuredTs, facts, measuring, stale: stale?.reason ?? null, points };
  return { lines: [...state, ...lines], data };
}

function keyOf(facts: ReturnType<Profiler['info']>['facts']): Record<string, string> {
  const { machine, runtime } = facts;
  const texts = Object.entries(machine).flatMap(([name, value]) =>
    value === undefined || value === null ? [] : [[name.slice(0, 32), String(value).slice(0, 200)] as const],
  );
  return { ...Object.fromEntries(texts), onnxruntime: runtime };
}

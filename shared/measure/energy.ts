import type { Clock } from '../clock.ts';
import { describeError } from '../errors.ts';
import type { NoPowerMeter, PowerMeter } from '../power/meter.ts';
import type { Pace, RunOnce } from './turns.ts';

/** A gauge is read at most this often: sensors are slow, and a reading takes time on their bus. */
const SAMPLE_MS = 50;

export interface EnergyOptions {
  readonly meter: PowerMeter | NoPowerMeter;
  readonly run: RunOnce;
  /** Between runs; default none, one after the other. */
  readonly pace?: Pace;
  /** Of the idle time, and of the runs after it: sensors need a second or more. */
  readonly windowMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

/** Energy of one inference above idling, joules, or why it is not known. */
export type Energy = { readonly energyJ: number } | { readonly energyReason: string };

/**
 * Energy of one inference: what is used over a window of runs less what idling used over as long a window
 * right before, divided by the runs. Of a gauge the integral is by trapezoids. Other work on the machine is in
 * the figure: measure while there is none.
 * @throws what a run throws, and the signal's reason when it aborts; a sensor that fails only costs the figure
 */
export async function energyPerInference(options: EnergyOptions): Promise<Energy> {
  const { meter, run, pace, clock, signal } = options;
  if ('unavailable' in meter) return { energyReason: meter.unavailable };
  const idle = await energyOver(meter, options, async () => await clock.sleep(SAMPLE_MS, signal));
  if ('problem' in idle) return { energyReason: idle.problem };
  const busy = await energyOver(meter, options, async (turn) => {
    await pace?.();
    await run(turn);
  });
  if ('problem' in busy) return { energyReason: busy.problem };
  const idleW = (idle.joules / idle.ms) * 1_000;
  const energyJ = (busy.joules - (idleW * busy.ms) / 1_000) / busy.turns;
  if (energyJ > 0) return { energyJ };
  return { energyReason: `${meter.source}: not above the ${idleW.toFixed(2)} W of idling` };
}

interface Window {
  readonly joules: number;
  readonly ms: number;
  readonly turns: number;
}

async function energyOver(
  meter: PowerMeter,
  { clock, windowMs, signal }: EnergyOptions,
  act: RunOnce,
): Promise<Window | { readonly problem: string }> {
  const reader = meter.kind === 'power' ? trapezoids(meter.readW, clock) : differences(meter.readJ);
  const problem = await problemOf(reader.begin);
  if (problem !== undefined) return { problem };
  const startMs = clock.monoMs();
  let turns = 0;
  let sampledMs = startMs;
  while (clock.monoMs() - startMs < windowMs) {
    signal?.throwIfAborted();
    await act(turns);
    turns += 1;
    if (clock.monoMs() - sampledMs < SAMPLE_MS) continue;
    sampledMs = clock.monoMs();
    const lost = await problemOf(reader.sample);
    if (lost !== undefined) return { problem: lost };
  }
  const endMs = clock.monoMs();
  const lost = await problemOf(reader.sample);
  return lost === undefined ? { joules: reader.joules(), ms: endMs - startMs, turns } : { problem: lost };
}

/** A sensor that fails costs the figure, not the profile. */
async function problemOf(read: () => Promise<void>): Promise<string | undefined> {
  return await read().then(
    () => undefined,
    (error: unknown) => describeError(error),
  );
}

interface Reader {
  begin(): Promise<void>;
  sample(): Promise<void>;
  /** Between `begin` and the last sample. */
  joules(): number;
}

function trapezoids(readW: () => Promise<number>, clock: Clock): Reader {
  let last = { watts: 0, atMs: 0 };
  let joules = 0;
  const read = async () => ({ atMs: clock.monoMs(), watts: await readW() });
  return {
    begin: async () => {
      last = await read();
    },
    sample: async () => {
      const now = await read();
      joules += ((now.watts + last.watts) / 2) * ((now.atMs - last.atMs) / 1_000);
      last = now;
    },
    joules: () => joules,
  };
}

function differences(readJ: () => Promise<number>): Reader {
  let first = 0;
  let last = 0;
  return {
    begin: async () => {
      first = await readJ();
      last = first;
    },
    sample: async () => {
      last = await readJ();
    },
    joules: () => last - first,
  };
}

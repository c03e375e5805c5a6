import { type Command, Option } from 'commander';
import { formatMs } from '../../shared/cli/format.ts';
import { addExamplesOf, addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { createTerminal } from '../../shared/cli/terminal.ts';
import { parseDurationMs } from '../../shared/cli/values.ts';
import type { Clock } from '../../shared/clock.ts';
import { stopSignal } from '../../shared/program.ts';
import type { Profile } from '../runtime/points.ts';
import type { Trace } from '../simulate/trace.ts';
import { type Runner, recordTrace, writeTrace } from './record.ts';

/** A device in service, as far as a recording needs it. */
export interface RecordedDevice extends AsyncDisposable {
  readonly engine: Runner;
  readonly profile: Profile;
  readonly nextFrame: () => Promise<Uint8Array>;
  readonly clock: Clock;
  /** From the frame rate that is configured. */
  readonly periodMs: number;
  /** The latency budget that is configured; without it the period. */
  readonly deadlineMs: number | undefined;
}

/** Brings the device into service by the flags of the command line; the agent must not run meanwhile. */
export type OpenDevice = (flags: Readonly<Record<string, unknown>>) => Promise<RecordedDevice>;

type RecordFlags = OutputOptions & { readonly to: string; readonly for: string };

/** Makes a command with the agent's configuration flags the one that records a paired trace. */
export function addRecordCommand(command: Command, open: OpenDevice): Command {
  command
    .description(
      'Record what every level takes for every frame, all levels in turn: a trace to simulate with.',
    )
    .requiredOption('--to <file>', 'file that the trace is written to')
    .addOption(new Option('--for <duration>', 'how long to record').default('60s'));
  addOutput(command).action((flags: RecordFlags) => record(flags, open));
  return addExamplesOf('ofa-agent', command, [
    'record --to trace.json --for 60s --frame-rate 15 --latency 60ms',
  ]);
}

async function record(flags: RecordFlags, open: OpenDevice): Promise<void> {
  const forMs = parseDurationMs(flags.for, '--for');
  const stopped = new AbortController();
  await using device = await open({ ...flags });
  void stopSignal().then(() => stopped.abort());
  const { engine, profile, periodMs, deadlineMs = periodMs } = device;
  const frames = Math.max(1, Math.round(forMs / periodMs));
  const trace = await recordTrace(
    engine,
    profile,
    { ...device, periodMs, deadlineMs, frames },
    stopped.signal,
  );
  await writeTrace(flags.to, trace);
  printSummary(trace, frames, flags);
}

function printSummary(trace: Trace, asked: number, { to, output }: RecordFlags): void {
  const rows = trace.levels.map(({ pe = 'cpu', accuracy }, level) => {
    const sorted = trace.latencyMs.map((frame) => frame[level] ?? Number.NaN).toSorted((a, b) => a - b);
    const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
    return { pe, level, accuracy, medianMs: at(0.5), p95Ms: at(0.95) };
  });
  const terminal = createTerminal(process.env);
  const frames = trace.latencyMs.length;
  terminal.note(`${to}: ${frames} of ${asked} frames, ${rows.length} operating points`);
  terminal.print(
    {
      rows,
      columns: [
        { head: 'PE', value: ({ pe }) => pe },
        { head: 'POINT', value: ({ level }) => level, align: 'right' },
        { head: 'ACCURACY', value: ({ accuracy }) => accuracy, align: 'right' },
        {
          head: 'MEDIAN',
          value: ({ medianMs }) => medianMs,
          text: ({ medianMs }) => formatMs(medianMs),
          align: 'right',
        },
        { head: 'P95', value: ({ p95Ms }) => p95Ms, text: ({ p95Ms }) => formatMs(p95Ms), align: 'right' },
      ],
      json: { file: to, frames, askedFrames: asked, points: rows },
    },
    output,
  );
}

import type { Command } from 'commander';
import type { Column } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { printTold } from '../../shared/cli/told.ts';
import { parseCount, parseDurationMs } from '../../shared/cli/values.ts';
import type { CommandKind } from '../../shared/protocol/command.ts';
import { formatDurationMs } from '../../shared/units.ts';
import type { CommandResponse } from '../api/schemas.ts';
import { ask, type Request } from './ask.ts';
import type { Cli } from './context.ts';
import { eachDevice } from './each-device.ts';
import { addExamples } from './options.ts';
import { parseId } from './values.ts';

const ANSWER_COLUMNS: readonly Column<CommandResponse>[] = [
  { head: 'DEVICE', value: (row) => row.device },
  { head: 'RESULT', value: (row) => row.result.state },
  {
    head: 'ROUND-TRIP',
    value: (row) => row.roundTripMs,
    text: (row) => formatDurationMs(row.roundTripMs),
    align: 'right',
  },
];

interface AskOptions extends OutputOptions {
  readonly timeout: string;
}

/** Adds the commands that a device itself answers: `ping`, `restart`, `logs`, `profile`, `audit`. */
export function addDeviceCommands(devices: Command, cli: Cli): void {
  const ping = devices
    .command('ping')
    .description('Ask devices for an answer, and measure how long it takes.');
  addAsk(ping, 'ping', cli);
  addExamples(ping, 'devices ping jetson-1');
  const restart = devices.command('restart').description("Restart devices' agents.");
  addAsk(restart, 'restart', cli);
  addExamples(restart, 'devices restart jetson-1 jetson-2');
  addLogs(devices, cli);
  addProfile(devices, cli);
  addAudit(devices, cli);
}

function addTimeout(command: Command): Command {
  return command.option('--timeout <duration>', 'how long to wait for the answer', '5s');
}

function addAsk(command: Command, kind: CommandKind, cli: Cli): void {
  addOutput(addTimeout(command.argument('<ids...>'))).action(async (words: string[], options: AskOptions) => {
    const ids = words.map((word) => parseId(word, 'ID'));
    const timeoutMs = timeoutOf(options);
    const api = await cli.connect();
    await eachDevice(ids, (id) => ask(api, id, { kind, timeoutMs }), {
      note: cli.note,
      onDone: (rows) => cli.print({ rows, columns: ANSWER_COLUMNS, json: { answers: rows } }, options.output),
    });
  });
}

function timeoutOf({ timeout }: AskOptions): number {
  return Math.round(parseDurationMs(timeout, '--timeout'));
}

function addLogs(devices: Command, cli: Cli): void {
  const logs = devices
    .command('logs')
    .description("Show the newest lines of an agent's log.")
    .argument('<id>')
    .option('-n, --number <count>', 'how many lines at most', '100')
    .action(async (id: string, options: AskOptions & { number: string }) => {
      const device = parseId(id, 'ID');
      const lines = parseCount(options.number, '--number');
      const request = { kind: 'logs', timeoutMs: timeoutOf(options), lines } as const;
      const { result } = await ask(await cli.connect(), device, request);
      const rows = (result.lines ?? []).map(parseLine);
      cli.print({ rows, columns: LINE_COLUMNS, json: { lines: rows } }, options.output);
    });
  addExamples(addOutput(addTimeout(logs)), 'devices logs jetson-1 -n 20', 'devices logs jetson-1 -o json');
}

/** Asks one device something that it answers in words and as data. */
async function tell(cli: Cli, words: { id: string; request: Request; output: AskOptions['output'] }) {
  const device = parseId(words.id, 'ID');
  const { result } = await ask(await cli.connect(), device, words.request);
  printTold(cli, { lines: result.lines ?? [], json: result.data ?? {} }, words.output);
}

function addProfile(devices: Command, cli: Cli): void {
  const profile = devices
    .command('profile')
    .description("Show what a device measured of its family's levels, or have it measure them anew.")
    .argument('<id>')
    .option('--measure', 'measure anew; the answer says that it has begun')
    .action((id: string, options: AskOptions & { measure?: true }) => {
      const action = options.measure === true ? 'measure' : 'show';
      const request = { kind: 'profile', timeoutMs: timeoutOf(options), action } as const;
      return tell(cli, { id, request, output: options.output });
    });
  addExamples(
    addOutput(addTimeout(profile)),
    'devices profile jetson-1',
    'devices profile jetson-1 --measure --timeout 60s',
  );
}

function addAudit(devices: Command, cli: Cli): void {
  const audit = devices
    .command('audit')
    .description("Show what a device's audits say of its accuracy in the field.")
    .argument('<id>')
    .action((id: string, options: AskOptions) => {
      const request = { kind: 'audit', timeoutMs: timeoutOf(options) } as const;
      return tell(cli, { id, request, output: options.output });
    });
  addExamples(addOutput(addTimeout(audit)), 'devices audit jetson-1 -o json');
}

interface LogLine {
  readonly time: string;
  readonly level: string;
  readonly message: string;
  /** The other fields. */
  readonly fields: Readonly<Record<string, unknown>>;
}

const LINE_COLUMNS: readonly Column<LogLine>[] = [
  { head: 'TIME', value: (line) => line.time },
  { head: 'LEVEL', value: (line) => line.level },
  { head: 'MESSAGE', value: (line) => line.message },
  {
    head: 'FIELDS',
    value: (line) => (Object.keys(line.fields).length === 0 ? '' : JSON.stringify(line.fields)),
  },
];

/** Numbers of log levels, as the agent's logger writes them. */
const LEVEL_NAMES: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
};

function parseLine(line: string): LogLine {
  try {
    const { time, level, msg, name: _name, pid: _pid, ...fields } = Object(JSON.parse(line));
    const when = new Date(time);
    return {
      time: Number.isNaN(when.getTime()) ? '' : when.toISOString(),
      level: LEVEL_NAMES[Number(level)] ?? String(level ?? ''),
      message: String(msg ?? ''),
      fields,
    };
  } catch {
    // A line that was cut, or is no JSON: shown as it came.
    return { time: '', level: '', message: line, fields: {} };
  }
}

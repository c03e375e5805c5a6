import type { Command } from 'commander';
import { type Column, printable } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseCount, parseDurationMs } from '../../shared/cli/values.ts';
import { AppError, type ErrorCode } from '../../shared/errors.ts';
import type { CommandKind, CommandResult } from '../../shared/protocol/command.ts';
import { formatDurationMs } from '../../shared/units.ts';
import type { CommandResponse } from '../api/schemas.ts';
import type { Api } from './api.ts';
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

/** Adds the commands that a device itself answers: `ping`, `restart`, `logs`. */
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

type Request = Parameters<Api['command']>[1];

const FAILURES = {
  failed: { code: 'system', text: 'the agent could not do it' },
  expired: { code: 'timeout', text: 'the agent got it too late to carry it out' },
  'unknown-kind': { code: 'invalid', text: 'the agent does not know this command; update it' },
} as const satisfies Record<Exclude<CommandResult['state'], 'done'>, { code: ErrorCode; text: string }>;

async function ask(api: Api, id: string, request: Request): Promise<CommandResponse> {
  const response = await api.command(id, request);
  const { state, reason } = response.result;
  if (state === 'done') return response;
  const { code, text } = FAILURES[state];
  throw new AppError(
    code,
    `${request.kind}: ${text}${reason === undefined ? '' : ` (${printable(reason)})`}`,
  );
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

import type { Command } from 'commander';
import { formatTime } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { printTold } from '../../shared/cli/told.ts';
import { parseCount, parseDurationMs, parseTime } from '../../shared/cli/values.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import { type Explanation, MAX_EXPLAINED } from '../../shared/protocol/explanation.ts';
import type { EventRow } from '../api/schemas.ts';
import type { Api } from './api.ts';
import { ask, type Request } from './ask.ts';
import type { Cli } from './context.ts';
import { describeEvent } from './event-text.ts';
import { addExamples } from './options.ts';
import { parseId } from './values.ts';

interface ExplainOptions extends OutputOptions {
  readonly at?: string;
  readonly since?: string;
  readonly number: string;
  readonly timeout: string;
}

/** What is asked, of the device or of the history. */
interface Question {
  readonly device: string;
  readonly at: number | undefined;
  readonly since: number | undefined;
  readonly limit: number;
}

/** Adds `explain`. */
export function addExplain(program: Command, cli: Cli): void {
  const explain = program
    .command('explain')
    .description(
      'Tell why a device ran the level that it ran: by its own memory, or from the history when it is offline.',
    )
    .argument('<device>')
    .option('--at <time>', 'around which time: an age such as 10m, or ISO 8601 (default: the newest)')
    .option('--since <time>', 'nothing older than this')
    .option('-n, --number <count>', 'how many decisions at most', '5')
    .option('--timeout <duration>', 'how long to wait for the answer', '5s')
    .action(async (id: string, options: ExplainOptions) => {
      const question = questionOf(id, options, cli.clock.now());
      const timeoutMs = Math.round(parseDurationMs(options.timeout, '--timeout'));
      await tellWhy(cli, { question, timeoutMs, output: options.output });
    });
  addExamples(
    addOutput(explain),
    'explain jetson-1',
    'explain jetson-1 --at 2026-05-01T12:00:00Z -n 3',
    'explain jetson-1 --since 10m -o json',
  );
}

function questionOf(id: string, { at, since, number }: ExplainOptions, now: number): Question {
  const limit = parseCount(number, '--number');
  if (limit > MAX_EXPLAINED) {
    throw new AppError('usage', `--number: '${number}' is more than ${MAX_EXPLAINED}`);
  }
  return {
    device: parseId(id, 'DEVICE'),
    at: at === undefined ? undefined : parseTime(at, now, '--at'),
    since: since === undefined ? undefined : parseTime(since, now, '--since'),
    limit,
  };
}

async function tellWhy(
  cli: Cli,
  { question, timeoutMs, output }: { question: Question; timeoutMs: number; output: OutputOptions['output'] },
): Promise<void> {
  const api = await cli.connect();
  const answer = await askDevice(api, question, timeoutMs);
  if (typeof answer !== 'string') {
    const { lines, explanation } = answer;
    return printTold(
      cli,
      { lines, json: { source: 'device', device: question.device, ...explanation } },
      output,
    );
  }
  const events = await eventsAround(api, question);
  cli.note(`${answer}; this is what the history holds, without the candidates`);
  if (events.length === 0) cli.note(`the history holds no decision of ${question.device} in that time`);
  const lines = events.map((event) => `${formatTime(event.ts)}  ${event.kind}  ${describeEvent(event.body)}`);
  printTold(
    cli,
    { lines, json: { source: 'history', device: question.device, why: answer, events } },
    output,
  );
}

/** The device's own answer, or why there is none. */
async function askDevice(
  api: Api,
  { device, at, since, limit }: Question,
  timeoutMs: number,
): Promise<{ lines: string[]; explanation: Explanation } | string> {
  const request: Request = {
    kind: 'explain',
    timeoutMs,
    limit,
    ...(at !== undefined && { at }),
    ...(since !== undefined && { since }),
  };
  try {
    const { result } = await ask(api, device, request);
    const { lines = [], explanation } = result;
    if (explanation === undefined) return `${device} answered without an explanation`;
    return reaches(explanation, at) ? { lines, explanation } : forgotten(device, explanation);
  } catch (error) {
    // Offline, silent, or of a version that cannot explain: the history may still tell.
    if (error instanceof AppError && ['timeout', 'invalid', 'system'].includes(error.code)) {
      return describeError(error);
    }
    throw error;
  }
}

/** A device that was restarted since knows nothing of that time. */
function reaches({ oldestTs }: Explanation, at: number | undefined): boolean {
  return at === undefined || (oldestTs !== undefined && oldestTs <= at);
}

function forgotten(device: string, { oldestTs }: Explanation): string {
  const since = oldestTs === undefined ? 'nothing yet' : `only what came since ${formatTime(oldestTs)}`;
  return `${device} remembers ${since}`;
}

/** How long after the asked time an event still speaks of it. */
const AFTER_MS = 60_000;
const MAX_EVENTS = 1_000;
/** Events that say why a level ran. */
const TELLING: ReadonlySet<string> = new Set<EventRow['kind']>([
  ...['switch', 'violation', 'shed', 'drift', 'quarantine', 'fault', 'boot'],
]);

/** The stored events nearest to the asked time, oldest first; without one, the newest. */
async function eventsAround(api: Api, { device, at, since, limit }: Question): Promise<EventRow[]> {
  const from = since === undefined ? {} : { since };
  const until = at === undefined ? {} : { until: at + 1 };
  const before = (await api.events({ device, limit: MAX_EVENTS, ...from, ...until })).filter(isTelling);
  if (at === undefined) return before.slice(0, limit).reverse();
  const range = { since: at + 1, until: at + AFTER_MS };
  const after = (await api.events({ device, limit: MAX_EVENTS, ...range })).filter(isTelling).reverse();
  const kept = Math.max(1, limit - Math.min(after.length, Math.floor(limit / 2)));
  return [...before.slice(0, kept).reverse(), ...after.slice(0, limit - Math.min(kept, before.length))];
}

function isTelling({ kind }: EventRow): boolean {
  return TELLING.has(kind);
}

import { type Command, Option } from 'commander';
import { formatMs, formatPercent, formatTime, printable } from '../../shared/cli/format.ts';
import { parseChoice, parseCount } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import { formatPowerW, formatTempC } from '../../shared/units.ts';
import type { TailContent, TailLine } from '../api/history-schemas.ts';
import type { EventRow } from '../api/schemas.ts';
import type { Cli } from './context.ts';
import { describeEvent, EVENT_KIND_NAMES } from './event-text.ts';
import { follow } from './follow.ts';
import { addExamples, addTarget } from './options.ts';
import { parseTarget, type Target, type TargetOptions } from './values.ts';

/** What a tail may hold; the type keeps it complete. */
const CONTENTS = Object.keys({
  windows: true,
  events: true,
  all: true,
} satisfies Record<TailContent, true>) as TailContent[];

const TAIL_FORMATS = ['table', 'json'] as const;
type TailFormat = (typeof TAIL_FORMATS)[number];

interface TailOptions extends TargetOptions {
  readonly what?: string;
  readonly kind?: string;
  readonly number?: string;
  readonly output: TailFormat;
}

/** Adds `telemetry tail`. */
export function addTail(telemetry: Command, cli: Cli): void {
  const tail = telemetry
    .command('tail')
    .description('Print what devices report as it comes, until Ctrl-C.')
    .option('--what <content>', `${CONTENTS.join(', ')} (default: windows; events with --kind)`)
    .option('--kind <kind>', `only events of this kind: ${EVENT_KIND_NAMES.join(', ')}`)
    .option('-n, --number <count>', 'end after so many lines')
    .addOption(
      new Option('-o, --output <format>', 'how to print it; json is one document a line')
        .choices(TAIL_FORMATS)
        .default('table'),
    )
    .action((options: TailOptions) => {
      const { kind, number, output } = options;
      return tailLines(cli, {
        ...{ target: parseTarget(options), what: contentOf(options), output },
        kind: kind === undefined ? undefined : parseChoice(kind, EVENT_KIND_NAMES, '--kind'),
        most: number === undefined ? undefined : parseCount(number, '--number'),
      });
    });
  addExamples(
    addTarget(tail),
    'telemetry tail --device jetson-1',
    'telemetry tail --what all -l site=lab -o json',
    'telemetry tail --kind switch -n 10',
  );
}

function contentOf({ what, kind }: TailOptions): TailContent {
  const given = what === undefined ? undefined : parseChoice(what, CONTENTS, '--what');
  if (kind !== undefined && given === 'windows') {
    throw new AppError('usage', '--kind is of events; --what windows has none');
  }
  return given ?? (kind === undefined ? 'windows' : 'events');
}

/** What of a tail is printed, and how. */
export interface Tail {
  readonly target: Target;
  readonly what: TailContent;
  readonly output: TailFormat;
  /** Of events, only these. */
  readonly kind?: EventRow['kind'] | undefined;
  /** Of events, only those in whose text this stands, whatever the case. */
  readonly contains?: string | undefined;
  /** Without it the tail has no end. */
  readonly most?: number | undefined;
}

/**
 * Prints what comes from now on.
 * @throws AppError `unreachable` when the controller goes away
 */
export async function tailLines(cli: Cli, tail: Tail): Promise<void> {
  const { target, what, output, most = Number.POSITIVE_INFINITY } = tail;
  const api = await cli.connect();
  await follow(cli, {
    open: (signal) => api.tail({ ...target, what }, signal),
    print: (text) => {
      const line = parseLine(text);
      if (!isWanted(line, tail)) return undefined;
      return output === 'json' ? text : printable(textOf(line));
    },
    most,
  });
}

function parseLine(text: string): TailLine {
  try {
    // As with every answer of the API, its type is what the controller promises.
    return JSON.parse(text) as TailLine;
  } catch (cause) {
    throw new AppError('unreachable', "what answers is not the controller's API; check the URL", { cause });
  }
}

function isWanted(line: TailLine, { kind, contains }: Tail): boolean {
  if (line.what === 'window') return kind === undefined && contains === undefined;
  if (kind !== undefined && line.kind !== kind) return false;
  const text = contains?.toLowerCase();
  return text === undefined || JSON.stringify(line.body).toLowerCase().includes(text);
}

function textOf(line: TailLine): string {
  const head = `${formatTime(line.ts)}  ${line.device}`;
  if (line.what === 'event') return `${head}  ${line.kind}  ${describeEvent(line.body)}`;
  return [head, ...windowParts(line)].join('  ');
}

function windowParts(line: Extract<TailLine, { what: 'window' }>): string[] {
  const { inferences, misses, level, pe, latencyP95Ms, requirement, accuracy, powerW, tempC } = line;
  const { latencyMs } = requirement;
  return [
    ...(level === null ? [] : [`level ${pe === undefined ? '' : `${pe}/`}${level}`]),
    `${inferences} inferences`,
    `${misses} missed`,
    ...(latencyP95Ms === null
      ? []
      : [`p95 ${formatMs(latencyP95Ms)}${latencyMs === undefined ? '' : ` of ${formatMs(latencyMs)}`}`]),
    ...(accuracy === null ? [] : [`accuracy ${formatPercent(accuracy)}`]),
    ...(powerW === undefined ? [] : [formatPowerW(powerW)]),
    ...(tempC === undefined ? [] : [formatTempC(tempC)]),
    ...(line.drifting === true ? ['drifting'] : []),
    ...(line.redated === true ? ['(dated by the controller)'] : []),
  ];
}

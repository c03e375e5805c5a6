import type { Command } from 'commander';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseChoice, parseCount, parseDurationMs } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import { given } from '../../shared/given.ts';
import { RELEASE_KINDS } from '../../shared/protocol/release.ts';
import { parseQuantity } from '../../shared/units.ts';
import type { RolloutStart } from '../api/rollout-schemas.ts';
import type { Cli } from './context.ts';
import { addExamples, addTarget } from './options.ts';
import { connectRollouts, type RolloutRequest } from './rollout-api.ts';
import { printRollout } from './rollout-view.ts';
import { checkOutcome, progressLine, waitForRollout } from './rollout-wait.ts';
import { parseId, parseTarget, type TargetOptions } from './values.ts';

interface StartOptions extends TargetOptions, OutputOptions {
  readonly all?: true;
  readonly kind: string;
  readonly name?: string;
  readonly dynamic?: true;
  readonly canary?: string;
  readonly rate?: string;
  readonly order: string;
  readonly soak: string;
  readonly timeout: string;
  readonly joinTimeout: string;
  readonly baseline: string;
  readonly gate?: readonly string[];
  readonly abort?: string;
  readonly window?: string;
  readonly windowLength?: string;
  readonly windowZone?: string;
  readonly onAbort: string;
  readonly force?: true;
  readonly wait?: true;
  readonly waitTimeout?: string;
}

const HELP = `
Gates: METRIC OP VALUE, measured over the devices of the open stage
  miss, shed, agreement, accuracy   a share in %; with a sign: points against before (not agreement)
  profile                           ms or s; with a sign in %: against the family before. Latency of the most
                                    accurate level, which each device measures before it serves it: the
                                    runtime manager hides slowness from latency by cheaper levels
  latency, p95, p99, energy         ms or s, J or mJ; with a sign in %: against before
  crashes, fallback                 a number: deaths while soaking, devices that lost their GPU

Abort rules: WHAT OP NUMBER [min N], over the devices that have finished, once they are N
  failed (every kind of failure), rejected or timed-out; >= or >; a share in %, or a number of devices

Exit status with --wait:
  0 completed   4 aborted   5 not done within --wait-timeout   6 completed, but devices failed`;

/** Adds `rollout start`. */
export function addRolloutStart(rollout: Command, cli: Cli): void {
  const start = rollout
    .command('start')
    .description('Bring a release to devices, stage by stage, as long as its gates hold.')
    .argument('<release>', 'NAME, or NAME@VERSION; the newest version without one');
  addTarget(start)
    .option('--all', 'all devices')
    .option('--kind <kind>', RELEASE_KINDS.join(' or '), 'family');
  addPace(start);
  addJudgement(start);
  start
    .option('--name <id>', 'what it is called (default: made from the release)')
    .option('--force', 'take over devices that another rollout has')
    .option('--wait', 'wait until it is done, and show how far it is')
    .option('--wait-timeout <duration>', 'wait no longer than this')
    .action((release: string, options: StartOptions) => startRollout(cli, release, options));
  start.addHelpText('after', HELP);
  addExamples(
    addOutput(start),
    'rollout start fashion-mnist --all --wait',
    "rollout start fashion-mnist@4 -l site=lab --canary 1,10%,100% --gate 'miss<1%' --gate 'energy<+10%'",
    "rollout start agent --kind program --all --abort 'failed>=20% min 3' --window '0 2 * * *' --window-length 2h",
  );
}

function addPace(start: Command): void {
  start
    .option('--canary <sizes>', 'cumulative sizes of the stages: 1,10%,100%')
    .option('--order <order>', 'who is first: drawn (anew for every rollout) or name', 'drawn')
    .option('--rate <rate>', 'orders in any time of a length: 50/min')
    .option('--dynamic', 'take in devices that come to be selected, let go those that no longer are')
    .option('--window <cron>', 'give orders only after times that fit: 0 2 * * *')
    .option('--window-length <duration>', 'for how long after them (default: 1h)')
    .option('--window-zone <zone>', 'time zone of the expression (default: UTC)')
    .option('--timeout <duration>', 'a device that makes no progress for so long has failed', '1h')
    .option('--join-timeout <duration>', 'how long devices that are offline are waited for', '7d');
}

function addJudgement(start: Command): void {
  start
    .option('--soak <duration>', 'how long a device runs it before it commits it; 0s: at once', '2m')
    .option('--gate <gate>', "what must hold of every stage: 'miss<1%'; may be given more than once", collect)
    .option('--baseline <duration>', 'how much of the time before counts as before', '10m')
    .option('--abort <rule>', "when too many devices fail: 'failed>=20% min 3'")
    .option('--on-abort <deed>', 'revert: who took it goes back; keep: it stays', 'revert');
}

function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

async function startRollout(cli: Cli, release: string, options: StartOptions): Promise<void> {
  const request = requestOf(release, options);
  const timeout = options.waitTimeout;
  if (timeout !== undefined && options.wait !== true) {
    throw new AppError('usage', '--wait-timeout says nothing without --wait');
  }
  const timeoutMs = timeout === undefined ? undefined : parseDurationMs(timeout, '--wait-timeout');
  const api = await connectRollouts(cli);
  const started = await api.start(request);
  if (options.wait !== true) {
    printRollout(cli, started, options.output);
    return;
  }
  const progress = progressLine(process.stderr, cli.note);
  const ended = await waitForRollout(cli, api, [started.id, { timeoutMs, progress }]);
  printRollout(cli, ended, options.output);
  checkOutcome(ended);
}

/**
 * What options ask for; gates, stages and rates are read by the controller.
 * @throws AppError `usage`
 */
function requestOf(release: string, options: StartOptions): RolloutRequest {
  const { name, canary, rate, abort, dynamic, force, gate } = options;
  return {
    ...releaseOf(release),
    target: targetOf(options),
    kind: parseChoice(options.kind, RELEASE_KINDS, '--kind'),
    order: parseChoice(options.order, ['drawn', 'name'] as const, '--order'),
    onAbort: parseChoice(options.onAbort, ['revert', 'keep'] as const, '--on-abort'),
    ...durationsOf(options),
    ...given({ canary, rate, abort, dynamic, force, maintenance: maintenanceOf(options) }),
    ...(gate !== undefined && { gates: [...gate] }),
    ...(name !== undefined && { id: parseId(name, '--name') }),
  };
}

function releaseOf(text: string): Pick<RolloutRequest, 'release' | 'version'> {
  const [name = '', version, ...rest] = text.split('@');
  if (rest.length > 0) throw new AppError('usage', `RELEASE: '${text}' is not NAME or NAME@VERSION`);
  const release = parseId(name, 'RELEASE');
  return version === undefined ? { release } : { release, version: parseCount(version, 'VERSION') };
}

/** All devices are named too: a forgotten option must not be the whole fleet. */
function targetOf({ all, ...options }: StartOptions): RolloutStart['target'] {
  const target = parseTarget(options);
  const isNamed = Object.keys(target).length > 0;
  if (isNamed === (all === true)) {
    throw new AppError('usage', 'say which devices: give one of --device, --group, --selector and --all');
  }
  return all === true ? { all } : target;
}

function durationsOf({ soak, timeout, joinTimeout, baseline }: StartOptions) {
  const soakMs = Math.round(parseQuantity(soak, 'duration', '--soak'));
  if (soakMs < 0) throw new AppError('usage', `--soak: '${soak}' is below zero`);
  return {
    soakMs,
    stepTimeoutMs: Math.round(parseDurationMs(timeout, '--timeout')),
    joinTimeoutMs: Math.round(parseDurationMs(joinTimeout, '--join-timeout')),
    baselineMs: Math.round(parseDurationMs(baseline, '--baseline')),
  };
}

function maintenanceOf({ window, windowLength, windowZone }: StartOptions): RolloutStart['maintenance'] {
  if (window === undefined) {
    if (windowLength === undefined && windowZone === undefined) return undefined;
    throw new AppError('usage', '--window-length and --window-zone say nothing without --window');
  }
  const lengthMs = Math.round(parseDurationMs(windowLength ?? '1h', '--window-length'));
  return { cron: window, lengthMs, ...given({ zone: windowZone }) };
}

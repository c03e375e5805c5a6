import type { OutputFormat } from '../../shared/cli/format.ts';
import { type Column, formatAge, formatPercent, formatTime, printable } from '../../shared/cli/format.ts';
import { formatDurationMs, formatEnergyJ } from '../../shared/units.ts';
import type { Rollout, RolloutDetail, RolloutDeviceView, RolloutGate } from '../api/rollout-schemas.ts';
import type { Cli } from './context.ts';
import { PROPERTY_COLUMNS, type Property } from './status.ts';

const STATES = [
  'SUCCEEDED',
  'IN_PROGRESS',
  'QUEUED',
  'FAILED',
  'TIMED_OUT',
  'REJECTED',
  'REMOVED',
  'CANCELED',
];
const FAILED_STATES = ['FAILED', 'TIMED_OUT', 'REJECTED'];

/** How many devices the release did not work on. */
export function failuresOf({ counts }: Pick<Rollout, 'counts'>): number {
  return FAILED_STATES.reduce((sum, state) => sum + (counts[state] ?? 0), 0);
}

/** Devices by state: `3 succeeded, 1 failed`. */
export function formatCounts({ counts }: Pick<Rollout, 'counts'>): string {
  const named = STATES.filter((state) => (counts[state] ?? 0) > 0);
  return (
    named.map((state) => `${counts[state]} ${state.toLowerCase().replace('_', ' ')}`).join(', ') ||
    'no devices'
  );
}

/** How a rollout is, in a line. */
export function formatProgress(rollout: Rollout): string {
  const { id, state, stage, stages, reason, waitsFor } = rollout;
  const why = reason === undefined ? '' : `: ${reason}`;
  const waiting = waitsFor === undefined ? '' : `; waits for ${waitsFor}`;
  return printable(`${id} ${state}${why}; stage ${stage} of ${stages}; ${formatCounts(rollout)}${waiting}`);
}

/** The same while nothing has come about; times until which something is waited for vary with every look. */
export function progressKey({ state, stage, counts }: Rollout): string {
  return JSON.stringify([state, stage, counts]);
}

/** As `progressKey`, for every device of it. */
export function detailKey(rollout: RolloutDetail): string {
  const devices = rollout.devices.map(({ device, state, step, bytes, revert }) => [
    device,
    state,
    step,
    bytes,
    revert,
  ]);
  return JSON.stringify([progressKey(rollout), rollout.gates, devices]);
}

/** Columns of a list of rollouts. */
export function rolloutColumns(now: number): Column<Rollout>[] {
  return [
    { head: 'ID', value: (row) => row.id },
    { head: 'KIND', value: (row) => row.kind },
    { head: 'RELEASE', value: ({ release }) => `${release.name}@${release.version}` },
    { head: 'STATE', value: (row) => row.state },
    { head: 'STAGE', value: (row) => `${row.stage}/${row.stages}` },
    { head: 'DEVICES', value: formatCounts },
    {
      head: 'CREATED',
      value: (row) => formatTime(row.createdTs),
      text: (row) => formatAge(row.createdTs, now),
    },
    {
      head: 'REASON',
      value: (row) => row.reason ?? (row.waitsFor === undefined ? '' : `waits for ${row.waitsFor}`),
    },
  ];
}

/** Prints all that is known of a rollout; as CSV only its devices. */
export function printRollout(
  cli: Pick<Cli, 'print' | 'write' | 'clock'>,
  rollout: RolloutDetail,
  format: OutputFormat,
): void {
  const now = cli.clock.now();
  const devices = { rows: rollout.devices, columns: deviceColumns(now), json: rollout };
  if (format !== 'table') {
    cli.print(devices, format);
    return;
  }
  cli.print({ rows: propertiesOf(rollout, now), columns: PROPERTY_COLUMNS, json: rollout }, format);
  if (rollout.gates.length > 0) {
    cli.write('\n');
    cli.print({ rows: rollout.gates, columns: GATE_COLUMNS, json: rollout }, format);
  }
  if (rollout.devices.length === 0) return;
  cli.write('\n');
  cli.print(devices, format);
}

function propertiesOf(rollout: RolloutDetail, now: number): Property[] {
  const { release, state, reason, stage, stages, waitsFor, plan, createdTs, endedTs } = rollout;
  const rows: (Property | undefined)[] = [
    { name: 'id', value: rollout.id },
    { name: 'release', value: `${rollout.kind} ${release.name}@${release.version}` },
    { name: 'state', value: state },
    optional('reason', reason),
    optional('waits for', waitsFor),
    { name: 'stage', value: `${stage} of ${stages} (${plan.canary})` },
    { name: 'devices', value: formatCounts(rollout) },
    { name: 'targets', value: targetOf(plan) },
    { name: 'soak', value: formatDurationMs(plan.soakMs) },
    optional('rate', plan.rate),
    optional('abort', plan.abort === undefined ? undefined : `${plan.abort} (${plan.onAbort})`),
    optional('window', windowOf(plan)),
    { name: 'started', value: formatTime(createdTs), text: formatAge(createdTs, now) },
    endedTs === undefined
      ? undefined
      : { name: 'ended', value: formatTime(endedTs), text: formatAge(endedTs, now) },
  ];
  return rows.filter((row) => row !== undefined);
}

function optional(name: string, value: string | undefined): Property | undefined {
  return value === undefined ? undefined : { name, value: printable(value) };
}

function targetOf({ target, dynamic }: RolloutDetail['plan']): string {
  const { device, group, selector } = target;
  const named = device ?? (group === undefined ? undefined : `group ${group}`) ?? selector ?? 'all devices';
  return dynamic ? `${named}, whoever joins` : named;
}

function windowOf({ maintenance }: RolloutDetail['plan']): string | undefined {
  if (maintenance === undefined) return undefined;
  const { cron, zone, lengthMs } = maintenance;
  return `${formatDurationMs(lengthMs)} from '${cron}' (${zone})`;
}

function valueText({ unit }: RolloutGate, value: number | undefined): string {
  if (value === undefined) return '';
  switch (unit) {
    case 'share':
      return formatPercent(value);
    case 'ms':
      return formatDurationMs(value);
    case 'J':
      return formatEnergyJ(value);
    default:
      return String(value);
  }
}

const GATE_COLUMNS: readonly Column<RolloutGate>[] = [
  { head: 'GATE', value: (row) => row.gate },
  { head: 'NOW', value: (row) => row.now, text: (row) => valueText(row, row.now), align: 'right' },
  { head: 'BEFORE', value: (row) => row.before, text: (row) => valueText(row, row.before), align: 'right' },
  { head: 'LIMIT', value: (row) => row.limit, text: (row) => valueText(row, row.limit), align: 'right' },
  { head: 'COUNT', value: (row) => row.count, align: 'right' },
  {
    head: 'VERDICT',
    value: (row) => row.verdict,
    text: ({ verdict, why }) => (why === undefined ? verdict : why),
  },
];

function deviceColumns(now: number): Column<RolloutDeviceView>[] {
  return [
    { head: 'DEVICE', value: (row) => row.device },
    { head: 'STAGE', value: (row) => row.stage, align: 'right' },
    {
      head: 'STATE',
      value: (row) => row.state,
      text: ({ state, online }) => (online ? state : `${state} (offline)`),
    },
    { head: 'STEP', value: (row) => row.step },
    { head: 'PROGRESS', value: progressOf, align: 'right' },
    { head: 'SINCE', value: (row) => formatTime(row.sinceTs), text: (row) => formatAge(row.sinceTs, now) },
    { head: 'WENT BACK', value: (row) => row.revert?.state },
    { head: 'REASON', value: whyOf },
  ];
}

function progressOf({ bytes, ofBytes }: RolloutDeviceView): string {
  if (bytes === undefined || ofBytes === undefined || ofBytes === 0) return '';
  return `${Math.floor((bytes / ofBytes) * 100)}%`;
}

function whyOf({ reason, revert, waitsFor }: RolloutDeviceView): string {
  const waiting = waitsFor === undefined ? undefined : `waits for ${waitsFor}`;
  return [reason, revert?.reason, waiting].filter((part) => part !== undefined).join('; ');
}

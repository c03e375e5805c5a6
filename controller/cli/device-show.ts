import type { Command } from 'commander';
import { formatAge, formatLabels, formatMs, formatPercent, formatTime } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import type { Reported, ReportedPoint } from '../../shared/protocol/reported.ts';
import { isRequirementField } from '../../shared/protocol/requirement-rules.ts';
import { formatEnergyJ } from '../../shared/units.ts';
import type { DeviceDetail } from '../api/schemas.ts';
import type { Cli } from './context.ts';
import { addExamples } from './options.ts';
import { fieldText } from './stated.ts';
import { PROPERTY_COLUMNS, type Property } from './status.ts';
import { parseId } from './values.ts';

/** Adds `devices show`. */
export function addDeviceShow(devices: Command, cli: Cli): void {
  const show = devices
    .command('show')
    .description('Show all that is known of a device.')
    .argument('<id>')
    .action(async (id: string, { output }: OutputOptions) => {
      const device = await (await cli.connect()).device(parseId(id, 'ID'));
      const now = cli.clock.now();
      const rows = [...identityOf(device, now), ...latestOf(device, now), ...reportedOf(device)];
      cli.print({ rows, columns: PROPERTY_COLUMNS, json: device }, output);
      if (device.identityConflict) cli.note(`two programs use the identity ${id} in turn; stop one of them`);
    });
  addExamples(addOutput(show), 'devices show jetson-1');
}

function identityOf(device: DeviceDetail, now: number): Property[] {
  const { id, online, firstSeenTs, lastSeenTs, labels, groups } = device;
  return [
    { name: 'id', value: id },
    { name: 'state', value: online ? 'online' : 'offline' },
    { name: 'first seen', value: formatTime(firstSeenTs), text: formatAge(firstSeenTs, now) },
    { name: 'last seen', value: formatTime(lastSeenTs), text: formatAge(lastSeenTs, now) },
    { name: 'labels', value: formatLabels(labels) },
    { name: 'groups', value: groups.join(',') },
  ];
}

function latestOf({ latest }: DeviceDetail, now: number): Property[] {
  if (latest === undefined) return [{ name: 'newest window', value: '' }];
  return [
    { name: 'newest window', value: formatTime(latest.ts), text: formatAge(latest.ts, now) },
    { name: 'level', value: latest.level },
    { name: 'inferences', value: latest.inferences },
    { name: 'misses', value: latest.misses },
    { name: 'switches', value: latest.switches },
    { name: 'sheds', value: latest.sheds },
    { name: 'latency mean', value: latest.latencyMeanMs, text: formatMs(latest.latencyMeanMs) },
    { name: 'latency p95', value: latest.latencyP95Ms, text: formatMs(latest.latencyP95Ms) },
    { name: 'accuracy', value: latest.accuracy, text: formatPercent(latest.accuracy) },
    { name: 'slowdown', value: latest.slowdown, text: String(Number(latest.slowdown.toPrecision(3))) },
  ];
}

function reportedOf({ reported }: DeviceDetail): Property[] {
  if (reported === undefined) return [{ name: 'reported', value: 'nothing yet' }];
  const { software, hardware, family, policy } = reported;
  return [
    { name: 'agent', value: software.agent },
    { name: 'node', value: software.node },
    { name: 'onnxruntime', value: software.onnxruntime },
    { name: 'hardware', value: `${hardware.model} (${hardware.arch}, ${hardware.cpus} CPUs)` },
    { name: 'family', value: `${family.name} ${family.version}` },
    ...(policy === undefined ? [] : [{ name: 'policy', value: policy }]),
    ...inForceOf(reported),
    ...profileOf(reported),
    ...reported.operatingPoints.map(pointProperty),
    ...(reported.sensors ?? []).map(({ name, state, reason }) => ({
      name: `sensor ${name}`,
      value: reason === undefined ? state : `${state}: ${reason}`,
    })),
    ...reported.refused.map(({ scope, field, reason }) => ({
      name: `refused: ${field}`,
      value: `${reason} (of ${scope})`,
    })),
  ];
}

function inForceOf({ requirement, settings, sources }: Reported): Property[] {
  const fieldOf = (field: string, value: string | number, text: string): Property => ({
    name: field,
    value,
    text: `${text} (from ${sources[field] ?? 'the device'})`,
  });
  return [
    ...Object.entries(requirement).map(([field, value]) =>
      // A newer agent may have fields that are not known here.
      fieldOf(field, value, isRequirementField(field) ? fieldText(field, value) : String(value)),
    ),
    ...Object.entries(settings).map(([field, value]) => fieldOf(field, value, String(value))),
  ];
}

function profileOf({ profile }: Reported): Property[] {
  if (profile === undefined) return [];
  const { state, ts, key = {}, stale } = profile;
  const when = ts === undefined ? '' : ` ${formatTime(ts)}`;
  const under = Object.entries(key).map(([name, value]) => `${name} ${value}`);
  return [
    { name: 'profile', value: [`${state}${when}`, ...under].join(', ') },
    ...(stale === undefined ? [] : [{ name: 'profile fits no more', value: stale }]),
  ];
}

function pointProperty(point: ReportedPoint): Property {
  const { pe, level, accuracy, latencyMs, energyJ, energyQuality, threads, usable, quarantined } = point;
  const energy = energyJ === undefined ? 'unknown' : formatEnergyJ(energyJ);
  const parts = [
    formatMs(latencyMs),
    `accuracy ${formatPercent(accuracy)}`,
    ...(energyQuality === undefined ? [] : [`energy ${energy} (${energyQuality})`]),
    ...(threads === undefined ? [] : [threads === 1 ? '1 thread' : `${threads} threads`]),
    ...(usable === false && quarantined === undefined ? ['not usable now'] : []),
    ...(quarantined === undefined ? [] : [`in quarantine: ${quarantined}`]),
  ];
  return { name: `point ${pe}/${level}`, value: latencyMs, text: parts.join(', ') };
}

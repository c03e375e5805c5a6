import type { Command } from 'commander';
import { formatAge, formatLabels, formatMs, formatPercent, formatTime } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import type { DeviceDetail } from '../api/schemas.ts';
import type { Cli } from './context.ts';
import { addExamples } from './options.ts';
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
    { name: 'latency mean', value: latest.latencyMeanMs, text: formatMs(latest.latencyMeanMs) },
    { name: 'latency p95', value: latest.latencyP95Ms, text: formatMs(latest.latencyP95Ms) },
    { name: 'accuracy', value: latest.accuracy, text: formatPercent(latest.accuracy) },
    { name: 'slowdown', value: latest.slowdown, text: String(Number(latest.slowdown.toPrecision(3))) },
  ];
}

function reportedOf({ reported }: DeviceDetail): Property[] {
  if (reported === undefined) return [{ name: 'reported', value: 'nothing yet' }];
  const { software, hardware, family, operatingPoints, requirement, settings, sources } = reported;
  const inForce = Object.entries({ ...requirement, ...settings }).map(([field, value]) => ({
    name: field,
    value,
    text: `${value} (from ${sources[field] ?? 'the device'})`,
  }));
  const points = operatingPoints.map(({ pe, level, accuracy, latencyMs }) => ({
    name: `point ${pe}/${level}`,
    value: latencyMs,
    text: `${formatMs(latencyMs)}, accuracy ${formatPercent(accuracy)}`,
  }));
  const refused = reported.refused.map(({ scope, field, reason }) => ({
    name: `refused: ${field}`,
    value: `${reason} (of ${scope})`,
  }));
  return [
    { name: 'agent', value: software.agent },
    { name: 'node', value: software.node },
    { name: 'onnxruntime', value: software.onnxruntime },
    { name: 'hardware', value: `${hardware.model} (${hardware.arch}, ${hardware.cpus} CPUs)` },
    { name: 'family', value: `${family.name} ${family.version}` },
    ...inForce,
    ...points,
    ...refused,
  ];
}

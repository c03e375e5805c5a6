import { join } from 'node:path';
import { systemClock } from '../../shared/clock.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import { runProgram } from '../../shared/program.ts';
import type { DemoApi, ShownDevice } from './api.ts';
import { demonstrateContention } from './contention.ts';
import {
  type Controller,
  DEMO_FRAME_RATE,
  DEMO_LATENCY,
  type DemoAgent,
  startAgent,
  windowsRecorded,
} from './fleet.ts';
import { createScreen } from './live.ts';
import { type DemoOptions, demoCommand } from './options.ts';
import { openStage, say, streamOf } from './stage.ts';
import { type DeviceSummary, summarise, summaryText } from './summary.ts';

const REFRESH_MS = 1_000;
const SHOWN_EVENTS = 6;

/** Runs the demonstration with the arguments of this process; returns the exit status. */
export function run(): Promise<number> {
  return runProgram({
    name: 'ofa-fleet demo',
    build: () =>
      demoCommand((options) => (options.contention ? demonstrateContention(options) : demonstrate(options))),
  });
}

async function demonstrate(options: DemoOptions): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const { stateDir, controller, stopped } = await openStage(options, stack);
  const sinceTs = systemClock.now();
  say(options, greeting(controller, options));

  const before = await recordedBefore(stateDir, options);
  const agents = await Promise.all(
    Array.from({ length: options.devices }, (_, index) => startAgent(stateDir, index, controller.mqttUrl)),
  );
  let agentsRun = true;
  const stopAgents = async (): Promise<void> => {
    if (agentsRun) await Promise.all(agents.map((agent) => agent.stop()));
    agentsRun = false;
  };
  stack.defer(stopAgents);
  await watch(controller, options, { stopped: stopped.signal, sinceTs });
  say(options, 'Stopping: the agents hand in what they have.\n');
  await stopAgents();
  finish(await summarise(controller.api, sinceTs, await sentSince(agents, before)), options);
}

function deviceFolders(stateDir: string, { devices }: DemoOptions): string[] {
  return Array.from({ length: devices }, (_, index) => join(stateDir, `demo-${index + 1}`));
}

async function recordedBefore(stateDir: string, options: DemoOptions): Promise<Map<string, number>> {
  const folders = deviceFolders(stateDir, options);
  return new Map(
    await Promise.all(folders.map(async (folder) => [folder, await windowsRecorded(folder)] as const)),
  );
}

async function sentSince(
  agents: readonly DemoAgent[],
  before: Map<string, number>,
): Promise<Map<string, number>> {
  const counts = agents.map(async ({ device, stateDir }) => {
    return [device, (await windowsRecorded(stateDir)) - (before.get(stateDir) ?? 0)] as const;
  });
  return new Map(await Promise.all(counts));
}

function greeting({ apiUrl, mqttUrl, tokenFile }: Controller, { devices }: DemoOptions): string {
  return `
API    ${apiUrl}   (OpenAPI document: ${apiUrl}/openapi.json)
MQTT   ${mqttUrl}
${devices} devices, ${DEMO_FRAME_RATE} frames per second each, latency budget ${DEMO_LATENCY}, windows of 1 s.
In another terminal:
  npx ofa-fleet login ${apiUrl} < ${tokenFile}
  npx ofa-fleet budget set --latency 2ms
  npx ofa-fleet telemetry query --metric share --by level --since 1m --bucket 5s
Ctrl-C stops everything.

`;
}

interface Watch {
  readonly stopped: AbortSignal;
  readonly sinceTs: number;
}

/** Shows the live status until the time is over or the demonstration is told to stop. */
async function watch({ api }: Controller, options: DemoOptions, { stopped, sinceTs }: Watch): Promise<void> {
  const screen = createScreen(streamOf(options));
  const endMs = systemClock.monoMs() + (options.forMs ?? Number.POSITIVE_INFINITY);
  const labelNew = createLabeller(api);
  while (!stopped.aborted && systemClock.monoMs() < endMs) {
    try {
      const devices = await api.devices();
      await labelNew(devices);
      screen.show(devices, await api.newestEvents(SHOWN_EVENTS, sinceTs));
    } catch (error) {
      say(options, `the live status has a gap: ${describeError(error)}\n`);
    }
    const waitMs = Math.min(REFRESH_MS, endMs - systemClock.monoMs());
    if (waitMs > 0) await systemClock.sleep(waitMs, stopped).catch(() => undefined);
  }
}

/** Gives every device that appears a place, so that there is something to select by. */
function createLabeller(api: DemoApi): (devices: readonly ShownDevice[]) => Promise<void> {
  const labelled = new Set<string>();
  return async (devices) => {
    for (const { id } of devices) {
      if (labelled.has(id)) continue;
      await api.label(id, { site: /[13579]$/.test(id) ? 'lab' : 'street' });
      labelled.add(id);
    }
  };
}

/** @throws AppError `partial` when windows that were recorded are not in the history */
function finish(devices: readonly DeviceSummary[], { json }: DemoOptions): void {
  process.stdout.write(json ? `${JSON.stringify({ devices })}\n` : summaryText(devices));
  const missing = devices.reduce((sum, { windowsMissing }) => sum + windowsMissing, 0);
  if (missing > 0)
    throw new AppError('partial', `${missing} windows that were recorded are not in the history`);
}

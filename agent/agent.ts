import { join } from 'node:path';
import type { Clock } from '../shared/clock.ts';
import { describeError } from '../shared/errors.ts';
import { makeStateFolder } from '../shared/files.ts';
import type { Logger } from '../shared/log.ts';
import { startMetricsListener } from '../shared/metrics-listener.ts';
import { openPowerMeter } from '../shared/power/open.ts';
import type { AgentDeps } from './agent-deps.ts';
import { createBackground } from './background.ts';
import type { AgentConfig } from './config.ts';
import { statedRequirement } from './config-parts.ts';
import { serveControl } from './control/socket.ts';
import { type OwnDefaults, openInForce } from './desired/in-force.ts';
import { keepLink } from './link/link.ts';
import { machineOf } from './machine.ts';
import { rssBytes } from './moment.ts';
import { createSensors, type Sensors } from './sensors/sensors.ts';
import { bringIntoService } from './serving.ts';
import { metaOf, openAgentDatabase } from './store/database.ts';
import { openTelemetry, type Telemetry } from './telemetry/telemetry.ts';
import { openUpdates } from './updates.ts';
import { type Wired, wire } from './wiring.ts';

export interface Agent extends AsyncDisposable {
  /** Resolves when the controller asked for a restart. */
  readonly restartAsked: Promise<void>;
}

/** What waits is sent before a stop for at most this long; the rest is sent after the next start. */
const FLUSH_MS = 5_000;
const FLUSH_POLL_MS = 10;

/**
 * Composes and starts an agent. Parts are released in the reverse order of their making: first no more
 * frames, then the last window is recorded and sent, then the link, the engine and the database close.
 * @throws AppError when it cannot start: no good family, the state folder in use, a frame source missing; the
 * signal's reason when it aborts before the start is done
 */
export async function startAgent(deps: AgentDeps): Promise<Agent> {
  await using stack = new AsyncDisposableStack();
  const running = await compose(deps, stack);
  const parts = stack.move();
  return { ...running, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

async function compose(deps: AgentDeps, stack: AsyncDisposableStack): Promise<Pick<Agent, 'restartAsked'>> {
  const { config, clock, logging } = deps;
  const { log } = logging;
  const bootId = deps.newId();
  makeStateFolder(config.state.dir, 0o750);
  const database = stack.adopt(openAgentDatabase(config.state.dir), (open) => {
    open.close();
  });
  const meta = metaOf(database);
  meta.set('device', config.device);
  const inForce = openInForce(database, defaultsOf(config), (error) => {
    log.warn(`a desired document is in force but not kept: ${describeError(error)}`);
  });
  log.level = inForce.settings().logLevel;
  const { maxMebibytes, maxAgeMs } = config.outbox;
  const telemetry = openTelemetry({
    database,
    bootId,
    clock,
    log,
    maxBytes: maxMebibytes * 2 ** 20,
    maxAgeMs,
    sensorPeriodMs: config.sensors.periodMs,
    rssBytes,
  });
  const sensors = stack.use(openSensors(deps, log));
  const machine = machineOf(config.sensors.root);
  const meter = await openPowerMeter(join(config.sensors.root, 'sys'));
  const updates = await openUpdates({ ...deps, database, log });
  const resources = stack.use(new AsyncDisposableStack());
  const first = await bringIntoService({ ...deps, database, log, machine, meter }, resources);
  const restart = Promise.withResolvers<void>();
  const parts = { deps, bootId, inForce, telemetry, first, resources, sensors, updates, meta };
  const wired = wire({ ...parts, askRestart: restart.resolve });
  const host = stack.use(wired.host);
  await serveMetrics(wired, deps, stack);
  const background = createBackground({ ...deps, log, stack });
  background('link', (stop) => keepLink(wired.link, stop));
  stack.defer(() => flush({ clock, log }, telemetry, wired));
  background('windows', wired.windows.run);
  background('sensors', host.sensing);
  background('frames', host.frames);
  stack.defer(() => host.settle());
  background('installer', wired.installer.run);
  stack.use(await serveControl(config.state.dir, wired.control));
  const { family, frames } = first;
  log.info({ family: family.manifest.name, source: frames.name, bootId }, 'agent started');
  return { restartAsked: restart.promise };
}

/** Before anything runs: that the port is taken is told at once. */
async function serveMetrics(
  { metrics }: Wired,
  { config, logging: { log } }: AgentDeps,
  stack: AsyncDisposableStack,
): Promise<void> {
  const { port } = config.metrics;
  if (metrics === undefined || port === null) return;
  const onFault = (error: unknown): void => log.warn(`metrics: ${describeError(error)}`);
  const { url } = stack.use(await startMetricsListener({ host: '127.0.0.1', port, onFault, ...metrics }));
  log.info({ url }, 'metrics for Prometheus are here');
}

/** Lets the controller take what waits, as long as it does so. */
async function flush(
  { clock, log }: { clock: Clock; log: Logger },
  { outbox }: Telemetry,
  { canSend }: Wired,
): Promise<void> {
  const deadlineMs = clock.monoMs() + FLUSH_MS;
  while (canSend() && outbox.totals().pending > 0 && clock.monoMs() < deadlineMs)
    await clock.sleep(FLUSH_POLL_MS);
  // What stays on the disk although it was acknowledged is sent again: no reason to fail a stop.
  try {
    outbox.settle();
  } catch (error) {
    log.warn(`the outbox cannot forget what was acknowledged: ${describeError(error)}`);
  }
}

function openSensors({ config, clock, random }: AgentDeps, log: Logger): Sensors {
  const { root, periodMs } = config.sensors;
  const { idleW, activeW } = config.energy;
  return createSensors({
    root,
    clock,
    random,
    periodMs,
    ...(idleW === null || activeW === null ? {} : { energyModel: { idleW, activeW } }),
    onHealth: ({ name, state, reason }) => log.info({ sensor: name, state }, reason),
  });
}

function defaultsOf(config: AgentConfig): OwnDefaults {
  return {
    requirement: statedRequirement(config.requirement),
    settings: {
      windowMs: config.telemetry.windowMs,
      frameRate: config.frames.rate,
      logLevel: config.log.level,
    },
  };
}

import { join } from 'node:path';
import { describeError } from '../shared/errors.ts';
import type { Logger } from '../shared/log.ts';
import { startMetricsListener } from '../shared/metrics-listener.ts';
import { openPowerMeter } from '../shared/power/open.ts';
import type { AgentDeps } from './agent-deps.ts';
import { createBackground } from './background.ts';
import { serveControl } from './control/socket.ts';
import { flushOutbox, openCore } from './core.ts';
import { keepLink } from './link/link.ts';
import { machineOf } from './machine.ts';
import { createSensors, type Sensors } from './sensors/sensors.ts';
import { bringIntoService } from './serving.ts';
import { openUpdates } from './updates.ts';
import { type Wired, wire } from './wiring.ts';

export interface Agent extends AsyncDisposable {
  /** Resolves when the controller asked for a restart. */
  readonly restartAsked: Promise<void>;
}

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
  const core = openCore(deps, stack);
  const { bootId, database, telemetry } = core;
  const sensors = stack.use(openSensors(deps, log));
  const machine = machineOf(config.sensors.root);
  const meter = await openPowerMeter(join(config.sensors.root, 'sys'));
  const updates = await openUpdates({ ...deps, database, log });
  const resources = stack.use(new AsyncDisposableStack());
  const first = await bringIntoService({ ...deps, database, log, machine, meter }, resources);
  const restart = Promise.withResolvers<void>();
  const parts = { ...core, deps, first, resources, sensors, updates };
  const wired = wire({ ...parts, askRestart: restart.resolve });
  const host = stack.use(wired.host);
  await serveMetrics(wired, deps, stack);
  const background = createBackground({ ...deps, log, stack });
  background('link', (stop) => keepLink(wired.link, stop));
  stack.defer(() => flushOutbox({ clock, log }, telemetry.outbox, wired.canSend));
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

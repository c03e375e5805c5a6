import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import type { Logging } from '../../shared/log.ts';
import { isId } from '../../shared/protocol/ids.ts';
import { seededRandom } from '../../shared/random.ts';
import type { AgentConfig } from '../config.ts';
import { type DrawnAgent, type DrawnAgentDeps, startDrawnAgent } from './drawn-agent.ts';

export interface SwarmOptions {
  /** Of every device; each has its own id, and a folder of that name in the state folder. */
  readonly config: AgentConfig;
  readonly devices: number;
  /** Devices are `<prefix>-1`, `<prefix>-2` and so on. */
  readonly prefix: string;
  /** Of what is drawn: the same seed draws the same. */
  readonly seed: number;
  /** Over how long their first connections are spread, milliseconds. */
  readonly joinMs: number;
  readonly clock: Clock;
  /** Evenly distributed, 0 to below 1: of waits, never of what is drawn. */
  readonly random: () => number;
  readonly newId: () => string;
  readonly logging: Logging;
  /** Gives up a start that is under way. */
  readonly signal: AbortSignal;
}

/** Devices whose folders are made at the same time. */
const AT_ONCE = 8;
/** Far apart, so that no device draws what another one does. */
const SEED_STRIDE = 1_000_003;

/**
 * Starts devices that run no model, in this process, and connects them one after the other. Disposing of the swarm
 * ends all of them in good order.
 * @throws AppError `usage` for a prefix of which no id can be made; as `startDrawnAgent`; the signal's reason
 */
export async function startSwarm(options: SwarmOptions): Promise<AsyncDisposable> {
  const { devices, prefix, signal } = options;
  if (!isId(deviceOf(prefix, devices))) {
    throw new AppError(
      'usage',
      `--prefix: '${deviceOf(prefix, devices)}' is not an id; use lower-case letters, digits and hyphens`,
    );
  }
  const members: AsyncDisposable[] = [];
  const indices = Array.from({ length: devices }, (_, index) => index).values();
  const starter = async (): Promise<void> => {
    for (const index of indices) {
      signal.throwIfAborted();
      members.push(await startMember(memberDeps(options, index)));
    }
  };
  const started = await Promise.allSettled(Array.from({ length: AT_ONCE }, starter));
  const failed = started.find((each) => each.status === 'rejected');
  if (failed !== undefined) {
    await endAll(members);
    throw failed.reason;
  }
  return { [Symbol.asyncDispose]: () => endAll(members) };
}

function deviceOf(prefix: string, number: number): string {
  return `${prefix}-${number}`;
}

function memberDeps(options: SwarmOptions, index: number): DrawnAgentDeps {
  const { config, prefix, devices, joinMs, seed, logging, clock, random, newId } = options;
  const device = deviceOf(prefix, index + 1);
  return {
    ...{ clock, random, newId },
    config: { ...config, device, state: { dir: join(config.state.dir, device) } },
    logging: { log: logging.log.child({ device }), ring: logging.ring },
    onFatal: (error) => logging.log.error({ device }, describeError(error)),
    drawn: seededRandom(seed + index * SEED_STRIDE),
    joinMs: (joinMs * index) / Math.max(1, devices - 1),
  };
}

/** One device, and what it is after each restart that the controller asks for. */
async function startMember(deps: DrawnAgentDeps): Promise<AsyncDisposable> {
  const stopped = Promise.withResolvers<'stopped'>();
  const first = await startDrawnAgent(deps);
  const running = keepRunning(first, deps, stopped.promise);
  return {
    [Symbol.asyncDispose]: async () => {
      stopped.resolve('stopped');
      await running;
    },
  };
}

async function keepRunning(
  first: DrawnAgent,
  deps: DrawnAgentDeps,
  stopped: Promise<'stopped'>,
): Promise<void> {
  let agent: DrawnAgent = first;
  for (;;) {
    const why = await Promise.race([stopped, agent.restartAsked]);
    await agent[Symbol.asyncDispose]();
    if (why === 'stopped') return;
    try {
      agent = await startDrawnAgent({ ...deps, joinMs: 0 });
    } catch (error) {
      deps.logging.log.error(`it cannot be started again: ${describeError(error)}`);
      return;
    }
  }
}

/** All of them, whatever becomes of one. @throws the first of their faults */
async function endAll(members: readonly AsyncDisposable[]): Promise<void> {
  const ends = await Promise.allSettled(members.map((member) => member[Symbol.asyncDispose]()));
  const failed = ends.find((end) => end.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import type { Random } from '../../shared/backoff.ts';
import { addExamplesOf } from '../../shared/cli/output.ts';
import { parseCount, parseWhole } from '../../shared/cli/values.ts';
import { systemClock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import { disposeInTime, stopSignal, tellParent } from '../../shared/program.ts';
import { parseQuantity } from '../../shared/units.ts';
import type { AgentConfig } from '../config.ts';

/** What the command has beside the flags of the agent's configuration. */
interface SwarmFlags {
  readonly devices: string;
  readonly prefix: string;
  readonly join: string;
  readonly seed: string;
}

/** More are not one process's business: each has a database and a connection. */
const MAX_DEVICES = 2_000;

/**
 * Makes a command with the agent's configuration flags the one that runs many devices without models.
 * @param configOf by the flags of the command line
 */
export function addSwarm(
  command: Command,
  configOf: (flags: Readonly<Record<string, unknown>>) => AgentConfig,
  random: Random,
): void {
  command
    .description(
      'Run many devices in this process that draw what a model would answer, and are real in all else: to try a fleet.',
    )
    .requiredOption('--devices <n>', 'how many')
    .option('--prefix <id>', 'how their names begin', 'swarm')
    .option('--join <duration>', 'over how long their first connections are spread', '0s')
    .option('--seed <n>', 'of what is drawn', '1')
    .action((flags: SwarmFlags & Readonly<Record<string, unknown>>) => run(flags, configOf(flags), random));
  addExamplesOf('ofa-agent', command, [
    'swarm --devices 50 --join 60s --state /tmp/swarm --broker-url mqtt://10.0.0.5:1883',
  ]);
}

async function run(flags: SwarmFlags, config: AgentConfig, random: Random): Promise<void> {
  const devices = parseCount(flags.devices, '--devices');
  if (devices > MAX_DEVICES) {
    throw new AppError('usage', `--devices: ${devices} are more than ${MAX_DEVICES}; use several processes`);
  }
  const joinMs = Math.max(0, parseQuantity(flags.join, 'duration', '--join'));
  const seed = parseWhole(flags.seed, '--seed');
  // The modules that only this command needs are loaded here.
  const [{ startSwarm }, { createLogging }] = await Promise.all([
    import('./swarm.ts'),
    import('../../shared/log.ts'),
  ]);
  const logging = createLogging('ofa-agent', config.log.level);
  const stopping = new AbortController();
  const stopped = stopSignal();
  void stopped.then(() => stopping.abort());
  const { prefix } = flags;
  const given = { config, devices, prefix, seed, joinMs, random, logging, signal: stopping.signal };
  const start = startSwarm({ ...given, clock: systemClock, newId: randomUUID });
  const swarm = await start.catch((error: unknown) => {
    if (!stopping.signal.aborted) throw error;
    logging.log.info('stopped before all had started');
  });
  if (swarm === undefined) return;
  logging.log.info({ devices, prefix, joinMs }, 'the swarm runs');
  tellParent({ type: 'ready', devices });
  logging.log.info(`${await stopped}: stopping`);
  await disposeInTime(swarm, systemClock);
}

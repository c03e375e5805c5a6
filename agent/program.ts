import { randomUUID } from 'node:crypto';
import { Command, Option } from 'commander';
import { addExamplesOf, addOutput } from '../shared/cli/output.ts';
import { systemClock } from '../shared/clock.ts';
import { configEntries, type LoadedConfig } from '../shared/config.ts';
import { addConfigFlags, configSources } from '../shared/config-flags.ts';
import { askStatus } from '../shared/control/client.ts';
import { AppError } from '../shared/errors.ts';
import type { Logger } from '../shared/log.ts';
import { packageVersion } from '../shared/package.ts';
import { disposeInTime, runProgram, stopSignal, tellParent } from '../shared/program.ts';
import { type AgentConfig, agentConfigSchema, loadAgentConfig } from './config.ts';
import { addQueries } from './control/program.ts';
import { addLaunch } from './launch/command.ts';
import type { QuarantineFlags } from './quarantine-command.ts';
import { stoppedStatus } from './status.ts';
import { describeStatus } from './status-text.ts';
import { addSwarm } from './swarm/command.ts';

const NAME = 'ofa-agent';
const CONFIG_FILE = { env: 'OFA_AGENT_CONFIG' };
const STATUS_TIMEOUT_MS = 5_000;

/** A start takes a few seconds. */
const START_AFTER_STOP_MS = 8_000;

type Flags = Readonly<Record<string, unknown>>;

/** Runs the agent's program with the arguments and the environment of this process; returns the exit status. */
export function run(): Promise<number> {
  return runProgram({ name: NAME, build: () => buildProgram(process.env, process.argv[2]) });
}

/** @param first argument, by which commands that take long to load are known to be meant */
async function buildProgram(env: NodeJS.ProcessEnv, first: string | undefined): Promise<Command> {
  const program = new Command(NAME)
    .description('Runs a family of sub-networks on this device and reports to the controller.')
    .version(packageVersion(), '-V, --version');
  const entries = configEntries(agentConfigSchema());
  const withFlags = (command: Command): Command => addConfigFlags(command, entries, CONFIG_FILE);
  const load = (flags: Flags): LoadedConfig<AgentConfig> =>
    loadAgentConfig(configSources(entries, flags, { env, file: CONFIG_FILE }));

  withFlags(program.command('run'))
    .description('Run the agent until it is told to stop.')
    .addHelpText('after', '\nExample:\n  $ ofa-agent run --device jetson-1 --broker-url mqtt://10.0.0.5:1883')
    .action((flags: Flags) => runAgent(load(flags).values));
  addLaunch(program, {
    env,
    args: process.argv.slice(3),
    defaultState: 'ofa-agent-state',
    random: Math.random,
  });
  withFlags(program.command('status'))
    .description('Say what the agent of a state folder does, or has left when it does not run.')
    .addOption(
      new Option('-o, --output <format>', 'how to print').choices(['table', 'json']).default('table'),
    )
    .addHelpText('after', '\nExample:\n  $ ofa-agent status --state /var/lib/ofa-agent -o json')
    .action((flags: Flags) => printStatus(load(flags).values, flags['output'] === 'json'));
  addQueries(program, withFlags, (flags) => load(flags).values.state.dir);
  addQuarantine(withFlags(program.command('quarantine')), (flags) => load(flags).values);
  addSwarm(withFlags(program.command('swarm')), (flags) => load(flags).values, Math.random);
  if (!LIGHT.includes(first)) await addTools(program, withFlags, (flags) => load(flags).values);
  const config = program.command('config').description("The agent's configuration.");
  withFlags(config.command('print'))
    .description('Print the configuration that run would use, secrets masked.')
    .addHelpText('after', '\nExample:\n  $ ofa-agent config print --config /etc/ofa-fleet/agent.yaml')
    .action((flags: Flags) => {
      process.stdout.write(`${load(flags).print()}\n`);
    });
  return program;
}

/** Commands for which the tools below are not loaded: they answer several times faster so. */
const LIGHT: readonly (string | undefined)[] = [
  'run',
  'launch',
  'swarm',
  'status',
  'explain',
  'profile',
  'quarantine',
  'config',
  '-V',
  '--version',
];

function addQuarantine(command: Command, configOf: (flags: Flags) => AgentConfig): void {
  addOutput(command)
    .description('Show the levels that are kept out of service on this device, or let them in again.')
    .option('--clear [level]', 'let this level, such as cpu/3, or all of them run again')
    .action(async (flags: Flags & QuarantineFlags) => {
      const { runQuarantine } = await import('./quarantine-command.ts');
      await runQuarantine(configOf(flags), flags);
    });
  addExamplesOf(NAME, command, ['quarantine --state /var/lib/ofa-agent', 'quarantine --clear cpu/3']);
}

/** Adds the commands that need no running agent: `simulate` and `record`. */
async function addTools(
  program: Command,
  withFlags: (command: Command) => Command,
  configOf: (flags: Flags) => AgentConfig,
): Promise<void> {
  const [{ addSimulateCommand }, { addRecordCommand }] = await Promise.all([
    import('./simulate/command.ts'),
    import('./record/command.ts'),
  ]);
  addSimulateCommand(program.command('simulate'));
  addRecordCommand(withFlags(program.command('record')), async (flags) => {
    const config = configOf(flags);
    const [{ openRecordedDevice }, { createLogging }] = await Promise.all([
      import('./recorded-device.ts'),
      import('../shared/log.ts'),
    ]);
    const { log } = createLogging(NAME, config.log.level);
    return await openRecordedDevice(config, { log, onFatal: (error) => killed(log, error) });
  });
}

/** An exit would abort in native code that is still running; the outbox is durable. */
function killed(log: Logger, error: AppError): void {
  log.fatal(`${error.message}; the process ends now and is to be started again`);
  process.kill(process.pid, 'SIGKILL');
}

/** The modules that only `run` needs are loaded here: `status` answers several times faster without them. */
async function runAgent(config: AgentConfig): Promise<void> {
  const [{ startAgent }, { createLogging }] = await Promise.all([
    import('./agent.ts'),
    import('../shared/log.ts'),
  ]);
  const logging = createLogging(NAME, config.log.level);
  const stopped = stopSignal();
  const onFatal = (error: AppError): void => killed(logging.log, error);
  const stopping = new AbortController();
  const { signal } = stopping;
  const given = { config, logging, onFatal, signal };
  const deps = { ...given, clock: systemClock, random: Math.random, newId: randomUUID };
  void stopped.then(() => stopping.abort());
  for (;;) {
    const agent = await orHungStart(startAgent(deps), stopped, onFatal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
      logging.log.info('stopped before it had started');
    });
    if (agent === undefined) return;
    tellParent({ type: 'ready' });
    const reason = await Promise.race([stopped, agent.restartAsked]);
    logging.log.info(reason === undefined ? 'restarting, as the controller asked' : `${reason}: stopping`);
    await disposeInTime(agent, systemClock);
    if (reason !== undefined) return;
  }
}

/** A stop gives a start up; one that goes on is hung in native code, which nothing else can end. */
async function orHungStart<T>(
  start: Promise<T>,
  stopped: Promise<unknown>,
  onFatal: (error: AppError) => void,
): Promise<T> {
  let settled = false;
  void stopped
    .then(() => systemClock.sleep(START_AFTER_STOP_MS))
    .then(() => {
      if (!settled) onFatal(new AppError('timeout', 'the start did not end after a stop was asked for'));
    });
  try {
    return await start;
  } finally {
    settled = true;
  }
}

async function printStatus(config: AgentConfig, json: boolean): Promise<void> {
  const { dir } = config.state;
  const status = (await askStatus(dir, STATUS_TIMEOUT_MS)) ?? stoppedStatus(dir);
  if (status === undefined) {
    throw new AppError('not-found', `${dir}: no agent has run there; name its folder with --state`);
  }
  process.stdout.write(json ? `${JSON.stringify(status, null, 2)}\n` : describeStatus(status));
}

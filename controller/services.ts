import type { Command } from 'commander';
import { systemClock } from '../shared/clock.ts';
import { configEntries, type LoadedConfig } from '../shared/config.ts';
import { addConfigFlags, configSources } from '../shared/config-flags.ts';
import { disposeInTime, stopSignal, tellParent } from '../shared/program.ts';
import { CONTROLLER_CONFIG, type ControllerConfig, loadControllerConfig } from './config.ts';

/** Values of the flags that were made from the configuration, by commander's names. */
type ConfigFlags = Readonly<Record<string, unknown>>;

const CONFIG_FILE = { env: 'OFA_FLEET_CONFIG' };
const ENTRIES = configEntries(CONTROLLER_CONFIG);

interface Running extends AsyncDisposable {
  readonly apiUrl?: string;
  readonly mqttUrl: string;
  /** Where Prometheus reads; only where it may. */
  readonly metricsUrl?: string | undefined;
  /** Of the API; only where it was made now. */
  readonly token?: string | undefined;
  /** Resolves when nothing works any more. */
  readonly failed?: Promise<Error>;
}

/** Adds the commands that are the controller: `serve`, `broker` and `config print`. */
export function addServices(program: Command, env: NodeJS.ProcessEnv): void {
  const serve = program.command('serve').description('Run the controller until it is told to stop.');
  withFlags(serve, '').action(async (flags: ConfigFlags) => {
    await runUntilStopped(() => startServe(load(env, flags).values));
  });
  serve.addHelpText('after', '\nExample:\n  $ ofa-fleet serve --state /var/lib/ofa-fleet --fleet lab');

  const broker = program.command('broker').description('Run only the MQTT broker until it is told to stop.');
  withFlags(broker, 'broker.').action(async (flags: ConfigFlags) => {
    await runUntilStopped(() => startOnlyBroker(load(env, flags).values));
  });
  broker.addHelpText('after', '\nExample:\n  $ ofa-fleet broker --broker-port 1883');

  const config = program.command('config').description("The controller's configuration.");
  const print = config
    .command('print')
    .description('Print the configuration that serve would run with, secrets masked.');
  withFlags(print, '').action((flags: ConfigFlags) => {
    process.stdout.write(`${load(env, flags).print()}\n`);
  });
  print.addHelpText(
    'after',
    '\nExample:\n  $ ofa-fleet config print --config /etc/ofa-fleet/controller.yaml',
  );
}

/** What a broker alone needs besides its own part of the configuration. */
const SHARED_PARTS = ['security.', 'log.'];

/** The flags of a command: all, or those of one part of the configuration. */
function withFlags(command: Command, part: string): Command {
  const used = [part, ...SHARED_PARTS];
  const entries = ENTRIES.filter(({ path }) => used.some((prefix) => path.startsWith(prefix)));
  return addConfigFlags(command, entries, CONFIG_FILE);
}

function load(env: NodeJS.ProcessEnv, flags: ConfigFlags): LoadedConfig<ControllerConfig> {
  return loadControllerConfig(configSources(ENTRIES, flags, { env, file: CONFIG_FILE }));
}

// The modules that only a service needs are loaded here and not above: a client command starts several
// times faster without them.
async function startServe(config: ControllerConfig): Promise<Running> {
  const [{ startController }, { createLogging }] = await Promise.all([
    import('./controller.ts'),
    import('../shared/log.ts'),
  ]);
  const { log } = createLogging('ofa-fleet', config.log.level);
  return startController(config, { clock: systemClock, log });
}

async function startOnlyBroker(config: ControllerConfig): Promise<Running> {
  const [{ startBroker }, { createLogging }] = await Promise.all([
    import('./broker/broker.ts'),
    import('../shared/log.ts'),
  ]);
  const { log } = createLogging('ofa-fleet', config.log.level);
  const broker = await startBroker({ host: config.broker.host, port: config.broker.port, log });
  return { mqttUrl: broker.url, [Symbol.asyncDispose]: () => broker.close() };
}

async function runUntilStopped(start: () => Promise<Running>): Promise<void> {
  // Before the start: a stop that comes meanwhile ends in good order too.
  const stopped = stopSignal();
  const running = await start();
  process.stdout.write(greetingOf(running));
  const { apiUrl, mqttUrl, metricsUrl, failed } = running;
  tellParent({ type: 'ready', apiUrl, mqttUrl, metricsUrl });
  const failure = await (failed === undefined ? stopped : Promise.race([stopped, failed]));
  await disposeInTime(running, systemClock);
  if (failure instanceof Error) throw failure;
}

function greetingOf({ apiUrl, mqttUrl, metricsUrl, token }: Running): string {
  const named = [
    ['API   ', apiUrl],
    ['MQTT  ', mqttUrl],
    ['METRICS', metricsUrl],
  ];
  const places = named.map(([name, url]) => (url === undefined ? '' : `${name} ${url}\n`)).join('');
  if (token === undefined) return places;
  return `${places}TOKEN  ${token}\nThe token is shown only this once. To use it: ofa-fleet login ${apiUrl}\n`;
}

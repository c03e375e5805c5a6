import { randomBytes, randomInt } from 'node:crypto';
import type { Random } from '../shared/backoff.ts';
import type { Clock } from '../shared/clock.ts';
import { AppError } from '../shared/errors.ts';
import type { Logger } from '../shared/log.ts';
import { packageVersion } from '../shared/package.ts';
import type { AlertsConfig } from './alerts/config.ts';
import { createWebhook, type Webhook, webhookToken } from './alerts/webhook.ts';
import type { ApiContext } from './api/context.ts';
import { startApi } from './api/server.ts';
import { type ApiToken, ensureToken } from './api/token.ts';
import { assemble, type Foundation, type Parts, startParts } from './assembly.ts';
import { type Broker, startBroker } from './broker/broker.ts';
import { type ControllerConfig, checkControllerConfig } from './config.ts';
import { backupState } from './history/backup/backup.ts';
import { openHistory } from './history/history.ts';
import { jobsOf } from './jobs.ts';
import { createKeys } from './keys/keys.ts';
import { type LinkOptions, recordFilters } from './link/link.ts';
import { type ControllerMetrics, createControllerMetrics, serveMetrics } from './metrics/metrics.ts';
import { openReleases } from './releases/open-releases.ts';
import { type ScheduleDeps, scheduleJobs } from './schedule.ts';
import { type FixedState, factsOf, stateOf } from './state.ts';
import { type FleetStore, openFleetStore } from './store/fleet-store.ts';
import { createReleaseStore } from './store/release-store.ts';

export interface ControllerDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: Random;
}

export interface Controller extends AsyncDisposable {
  readonly apiUrl: string;
  readonly mqttUrl: string;
  /** Where Prometheus reads; undefined where it does not. */
  readonly metricsUrl: string | undefined;
  /** Of the API; only when it was made now and stands in no file. */
  readonly token: string | undefined;
  /** Resolves when a part died without which nothing works: the program must end. */
  readonly failed: Promise<Error>;
}

/**
 * Starts the controller: what is known of the fleet, history, broker, link, ingest, jobs, API. When one part
 * cannot start, those before it are ended again.
 * @throws AppError `conflict` when another controller has the state folder, or a port is taken
 */
export async function startController(config: ControllerConfig, deps: ControllerDeps): Promise<Controller> {
  checkControllerConfig(config);
  await using stack = new AsyncDisposableStack();
  const failure = Promise.withResolvers<Error>();
  const context: StartContext = { random: systemRandom, ...deps, stack, onFault: failure.resolve };
  const { token, ...stores } = await openStores(config, context);
  const fleetSide = await startFleetSide(config, stores, context);
  const { parts, fixed, metrics, mqttUrl } = fleetSide;
  const metricsUrl = await metricsOf(config, metrics, context);
  const { clock, log } = deps;
  const api = stack.use(
    await startApi(
      {
        ...config.api,
        version: packageVersion(),
        tokenSha256: token.sha256,
        log,
        onAnswer: metrics.requested,
      },
      {
        ...parts,
        clock,
        retention: config.retention,
        backup: backupOf(config, stores, clock),
        state: () => stateOf(parts, fixed),
      },
    ),
  );
  log.info({ api: api.url, mqtt: mqttUrl, metrics: metricsUrl, state: config.state.dir }, 'controller runs');
  const running = stack.move();
  return {
    ...{ apiUrl: api.url, mqttUrl, metricsUrl, token: token.token },
    failed: failure.promise,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** What all steps of the start share. */
interface StartContext extends Required<ControllerDeps> {
  /** Ends what has been started. */
  readonly stack: AsyncDisposableStack;
  /** Called when a part dies without which nothing works. */
  readonly onFault: (error: Error) => void;
}

/** Starts everything that speaks to the fleet and keeps what it says: broker, link, ingest, alerts, jobs. */
async function startFleetSide(config: ControllerConfig, stores: Stored, context: StartContext) {
  const { fleet, alerts, retention, transfer } = config;
  const { clock, stack } = context;
  const embedded = await embeddedBroker(config, context);
  const broker = linkOptions(config, embedded);
  const webhook = await webhookOf(alerts);
  const fixed: FixedState = { fleet, epoch: stores.epoch, startedTs: clock.now() };
  const history = () => stores.history.stats();
  const metrics = stack.use(createControllerMetrics({ clock, history, facts: () => factsOf(parts, fixed) }));
  const onCommit = metrics.committed;
  // Before the rollouts that are taken up again: they ask for releases, and those for who may sign.
  const { meta } = stores.store;
  const keys = createKeys({ meta, fleet, retain: (message) => parts.link.retain(message) });
  const releases = stack.use(
    await openReleases({
      stateDir: config.state.dir,
      clock,
      store: createReleaseStore(stores.store.sqlite),
      keyring: () => keys.current()?.keyring,
      isNeeded: (kind, { name, version }) => parts.rollouts.needs(kind, name, version),
    }),
  );
  const given = { fleet, broker, alerts, webhook, transfer, onCommit };
  const foundation = { ...context, ...stores, ...given, keys, releases };
  const parts: Parts = assemble(foundation);
  startParts(parts, stack);
  await embedded?.listen(recordFilters(fleet), parts.receive);
  const onRun: ScheduleDeps['onRun'] = (job, durationMs, error) =>
    metrics.jobEnded(job, durationMs, error === undefined ? 'done' : 'failed');
  stack.use(scheduleJobs(jobsOf({ ...parts, retention, clock }), { ...context, onRun }));
  return { parts, fixed, metrics, mqttUrl: broker.url };
}

type Stored = Pick<Foundation, 'store' | 'history' | 'epoch'>;

/** Opens what is kept. The fleet's database comes first: its lock keeps a second controller out of the folder. */
async function openStores(
  { state, tokenFile }: ControllerConfig,
  { clock, stack, onFault }: StartContext,
): Promise<Stored & { readonly token: ApiToken }> {
  const store = stack.use(openFleetStore(state.dir));
  const history = stack.use(await openHistory({ stateDir: state.dir, now: () => clock.now(), onFault }));
  const epoch = epochOf(store, clock);
  const token = await ensureToken({ meta: store.meta, tokenFile, randomBytes });
  return { store, history, epoch, token };
}

async function embeddedBroker(
  { broker: { url, host, port } }: ControllerConfig,
  { log, stack }: StartContext,
): Promise<Broker | undefined> {
  return url === '' ? stack.use(await startBroker({ host, port, log })) : undefined;
}

/** Records come straight from an embedded broker: the way through a socket costs several times as much. */
function linkOptions({ broker, fleet }: ControllerConfig, embedded: Broker | undefined): LinkOptions {
  if (embedded !== undefined) return { url: embedded.url, fleet, withoutRecords: true };
  const { url, username, password } = broker;
  return { url, fleet, username: username || undefined, password: password || undefined };
}

async function webhookOf(alerts: AlertsConfig): Promise<Webhook | undefined> {
  if (alerts.webhookUrl === '') return undefined;
  return createWebhook(alerts.webhookUrl, { token: await webhookToken(alerts) });
}

/** Where Prometheus reads; undefined where it does not. */
async function metricsOf(
  { metrics: { host, port } }: ControllerConfig,
  metrics: ControllerMetrics,
  { log, stack }: StartContext,
): Promise<string | undefined> {
  if (port === null) return undefined;
  const onFault = (error: unknown) => log.error({ err: error }, 'metrics could not be read');
  return stack.use(await serveMetrics(metrics, { host, port, onFault })).url;
}

function backupOf(
  { state }: ControllerConfig,
  { store, history }: Stored,
  clock: Clock,
): ApiContext['backup'] {
  return () =>
    backupState({
      stateDir: state.dir,
      fleet: store.sqlite,
      copyHistory: (path) => history.backup(path),
      now: clock.now(),
    });
}

/**
 * The epoch of a state folder: the second in which it was made, or what a restore wrote. Devices keep what an
 * older folder told them; a folder that was made anew must come after it.
 * @throws AppError `config` when what is stored is none
 */
function epochOf({ meta }: FleetStore, clock: Clock): number {
  const known = meta.get('epoch');
  if (known === undefined) {
    const epoch = Math.max(1, Math.floor(clock.now() / 1_000));
    meta.set('epoch', String(epoch));
    return epoch;
  }
  const epoch = Number(known);
  if (Number.isSafeInteger(epoch) && epoch > 0) return epoch;
  throw new AppError('config', `fleet.db: '${known}' is no epoch; restore a backup`);
}

/** Chance from the system's own source, for delays. */
function systemRandom(): number {
  return randomInt(2 ** 32) / 2 ** 32;
}

import type { AgentDeps } from './agent-deps.ts';
import { answerProfile, commandHandlers } from './answers.ts';
import { createCommandRunner } from './commands/commands.ts';
import { type ControlHandlers, explainHandlers } from './control/handlers.ts';
import type { InForce } from './desired/in-force.ts';
import { createInstaller, type Installer } from './install/installer.ts';
import { createControllerGate } from './link/controller-gate.ts';
import type { LinkDeps } from './link/link.ts';
import { type AgentMetrics, createAgentMetrics } from './metrics/metrics.ts';
import { momentOf, windowEndOf } from './moment.ts';
import { outOfService, tellJudgements, tellLeftOut, tellRefusedFamily } from './out-of-service.ts';
import { fixedReport, reportedFamily, reportOf } from './report/document.ts';
import { createReporter } from './report/reporter.ts';
import type { Sensors } from './sensors/sensors.ts';
import { createFamilyHost, type ServiceHost } from './service/family-host.ts';
import { operateWith } from './service/operate.ts';
import type { FirstServing } from './serving.ts';
import { statusOf } from './status.ts';
import type { Meta } from './store/database.ts';
import type { Telemetry } from './telemetry/telemetry.ts';
import { createWindowLoop, type WindowLoop } from './telemetry/window-loop.ts';
import type { Updates } from './updates.ts';
import { createUplinkSession, type UplinkSession } from './uplink-session.ts';

export interface Wiring {
  readonly deps: AgentDeps;
  readonly bootId: string;
  readonly inForce: InForce;
  readonly telemetry: Telemetry;
  readonly first: FirstServing;
  /** Engine and frames of the first family. */
  readonly resources: AsyncDisposableStack;
  readonly sensors: Sensors;
  readonly updates: Updates;
  /** What audits have learnt is kept there. */
  readonly meta: Meta;
  readonly askRestart: () => void;
}

/** The loops of an agent, ready to run, and what it says of itself. */
export interface Wired {
  /** Of the families: the one that serves, and those that take its place. */
  readonly host: ServiceHost;
  /** Carries out what rollouts order. */
  readonly installer: Installer;
  readonly windows: WindowLoop;
  readonly link: LinkDeps;
  readonly control: ControlHandlers;
  /** Undefined when they are not wanted. */
  readonly metrics: AgentMetrics | undefined;
  /** Whether telemetry that is recorded now would be taken in. */
  readonly canSend: () => boolean;
}

const LINK_BACKOFF = { firstMs: 500, capMs: 30_000 };
const REPORT_INTERVAL_MS = 1_000;

/** Joins the parts of an agent by callbacks; starts nothing. */
export function wire(wiring: Wiring): Wired {
  const { deps, bootId, inForce, telemetry, first, sensors, updates, askRestart } = wiring;
  const { config, clock, logging } = deps;
  const { log } = logging;
  const identity = { fleet: config.fleet, device: config.device };
  const told = { event: telemetry.recorder.event, log };
  const metrics = config.metrics.port === null ? undefined : createAgentMetrics(() => now());
  const windows = createWindowLoop({
    ...telemetry,
    clock,
    windowMs: () => inForce.settings().windowMs,
    end: () => windowEndOf({ service: host.current(), inForce }),
  });
  const host = createFamilyHost({
    ...wiring,
    ways: first.ways,
    clock,
    log,
    operate: operateWith({ ...wiring, metrics, onChanged: () => reporter.touch() }),
    onLeaving: windows.familyLeaves,
    onActivated: ({ serving }) => {
      const { name, version } = serving.family.manifest;
      log.info({ family: name, version }, 'another family serves');
      tellLeftOut(serving, told);
      reporter.touch();
    },
  });
  const operation = () => host.current().operation;
  let wasUp = false;
  const installer = createInstaller({
    ...updates.forInstaller,
    ...told,
    host,
    orders: inForce.orders,
    isProven: () => wasUp && operation().profileKeeper.runs() > 0,
    now: telemetry.lastKnownTs,
    onChanged: () => reporter.touch(),
  });
  const refused = tellRefusedFamily(first, told);
  tellJudgements(first, told);
  tellLeftOut(first, told);
  const rejected: Record<string, number> = {};
  const fixed = fixedReport(bootId);
  const report = () =>
    reportOf(fixed, {
      family: reportedFamily(host.serving()),
      resolved: inForce.resolved(),
      refused,
      rejected: { ...rejected },
      points: [...operation().points(), ...outOfService(host.current().serving)],
      policy: operation().policy,
      profile: operation().profileKeeper.info(),
      sensors: sensors.health(),
      install: installer.report(),
      keyring: updates.trust.keyring()?.version,
    });
  const reporter = createReporter({ clock, minIntervalMs: REPORT_INTERVAL_MS, current: report });
  const gate = createControllerGate();
  const { ring } = telemetry;
  const session = createUplinkSession({
    identity,
    gate,
    reporter,
    log,
    publisher: telemetry.publisher,
    desired: inForce.documents,
    fetcher: updates.fetcher,
    onKeyring: async (message) => {
      if (!(await updates.trust.accept(message))) return;
      installer.changed();
      reporter.touch();
    },
    commands: createCommandRunner(clock, commandHandlers({ logging, operation, ring, clock, askRestart })),
    onDesired: () => {
      inForce.refresh();
      log.level = inForce.settings().logLevel;
      log.info({ requirement: inForce.requirement(), settings: inForce.settings() }, 'desired state applied');
      windows.lengthChanged();
      installer.changed();
      reporter.touch();
    },
  });
  const whileUp: UplinkSession['whileUp'] = (uplink, signal) => {
    wasUp = true;
    return session.whileUp(uplink, signal);
  };
  const link = linkOf(wiring, { ...session, whileUp }, (reason) => {
    rejected[reason] = (rejected[reason] ?? 0) + 1;
    reporter.touch();
  });
  const startedMs = clock.monoMs();
  const status = () =>
    statusOf({
      identity,
      bootId,
      pid: process.pid,
      uptimeMs: Math.round(clock.monoMs() - startedMs),
      link: { connected: session.isUp, controllerOnline: gate.isOnline },
      report: report(),
      manager: operation().view(),
      telemetry: { ...telemetry.outbox.totals(), lost: telemetry.recorder.lost() },
    });
  const now = () =>
    momentOf(
      { ...identity, telemetry, service: host.current() },
      { isLinkUp: session.isUp, isControllerOnline: gate.isOnline },
    );
  const control: ControlHandlers = {
    status,
    ...explainHandlers({ ring, clock }),
    profile: ({ action }) => answerProfile(operation(), action),
  };
  return { host, installer, windows, link, control, metrics, canSend: () => session.isUp && gate.isOnline };
}

/** What the link is made with. @param onRejected hears of every message that is dropped */
function linkOf(
  { deps, bootId, telemetry }: Wiring,
  session: UplinkSession,
  onRejected: (reason: string) => void,
): LinkDeps {
  const { config, logging } = deps;
  const { log } = logging;
  const { fleet, device, broker } = config;
  return {
    ...deps,
    fleet,
    device,
    log,
    bootId,
    url: broker.url,
    username: broker.username ?? undefined,
    password: broker.password ?? undefined,
    newSession: deps.newId,
    backoff: LINK_BACKOFF,
    isOwnBoot: telemetry.outbox.knowsBoot,
    onMessage: session.receive,
    onBadMessage: ({ reason, detail }) => {
      log.debug({ reason, detail }, 'message dropped');
      onRejected(reason);
    },
    onTakeover: (other) => {
      log.error({ other }, `another agent uses the identity '${device}': give each device its own`);
      telemetry.recorder.event({
        kind: 'fault',
        what: 'identity taken over',
        reason: `boot ${other} uses it too`,
      });
    },
    whileUp: session.whileUp,
  };
}

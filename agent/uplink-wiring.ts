import type { AgentDeps } from './agent-deps.ts';
import { type CommandHandlers, createCommandRunner } from './commands/commands.ts';
import type { AgentCore } from './core.ts';
import type { Refusal } from './desired/resolve.ts';
import { createInstaller, type Installer } from './install/installer.ts';
import { createControllerGate } from './link/controller-gate.ts';
import type { LinkDeps } from './link/link.ts';
import { type Changing, fixedReport, reportedFamily, reportOf } from './report/document.ts';
import { createReporter } from './report/reporter.ts';
import type { FamilyHost } from './service/family-host.ts';
import type { WindowLoop } from './telemetry/window-loop.ts';
import type { Updates } from './updates.ts';
import { createUplinkSession, type UplinkSession } from './uplink-session.ts';

/** What a report says of the levels that can be chosen, and of what chooses. */
export type Levels = Pick<Changing, 'points' | 'policy' | 'profile' | 'sensors'>;

export interface UplinkParts extends Pick<AgentCore, 'bootId' | 'inForce' | 'telemetry'> {
  readonly deps: AgentDeps;
  readonly updates: Updates;
  readonly host: FamilyHost;
  readonly windows: WindowLoop;
  /** Whether frames have been answered since the start. */
  readonly hasAnswered: () => boolean;
  readonly levels: () => Levels;
  /** What was refused at the start, and has nothing to do with desired documents. */
  readonly refused: readonly Refusal[];
  readonly commands: CommandHandlers;
}

/** What joins an agent to its controller, in both directions; nothing of it knows what inference runs on. */
export interface WiredUplink {
  /** Carries out what rollouts order. */
  readonly installer: Installer;
  readonly link: LinkDeps;
  /** What is reported now. */
  report(): ReturnType<typeof reportOf>;
  /** Something that is reported has changed. */
  touch(): void;
  readonly isLinkUp: boolean;
  readonly isControllerOnline: boolean;
  /** Whether telemetry that is recorded now would be taken in. */
  canSend(): boolean;
}

const LINK_BACKOFF = { firstMs: 500, capMs: 30_000 };
const REPORT_INTERVAL_MS = 1_000;

/** Joins link, desired documents, reports, telemetry and installer by callbacks; starts nothing. */
export function wireUplink(parts: UplinkParts): WiredUplink {
  const { deps, inForce, telemetry, updates, windows, host } = parts;
  const { config, clock, logging } = deps;
  const { log } = logging;
  let wasUp = false;
  const installer = createInstaller({
    ...updates.forInstaller,
    log,
    event: telemetry.recorder.event,
    host,
    orders: inForce.orders,
    isProven: () => wasUp && parts.hasAnswered(),
    now: telemetry.lastKnownTs,
    onChanged: () => reporter.touch(),
  });
  const rejected: Record<string, number> = {};
  const report = reporting(parts, installer, rejected);
  const reporter = createReporter({ clock, minIntervalMs: REPORT_INTERVAL_MS, current: report });
  const gate = createControllerGate();
  const session = createUplinkSession({
    identity: { fleet: config.fleet, device: config.device },
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
    commands: createCommandRunner(clock, parts.commands),
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
  const link = linkOf(parts, { whileUp, receive: session.receive }, (reason) => {
    rejected[reason] = (rejected[reason] ?? 0) + 1;
    reporter.touch();
  });
  return {
    installer,
    link,
    report,
    touch: () => reporter.touch(),
    get isLinkUp() {
      return session.isUp;
    },
    get isControllerOnline() {
      return gate.isOnline;
    },
    canSend: () => session.isUp && gate.isOnline,
  };
}

function reporting(
  { bootId, host, inForce, updates, refused, levels }: UplinkParts,
  installer: Installer,
  rejected: Readonly<Record<string, number>>,
): WiredUplink['report'] {
  const fixed = fixedReport(bootId);
  return () =>
    reportOf(fixed, {
      ...levels(),
      family: reportedFamily(host.serving()),
      resolved: inForce.resolved(),
      refused,
      rejected: { ...rejected },
      install: installer.report(),
      keyring: updates.trust.keyring()?.version,
    });
}

/** What the link is made with. @param onRejected hears of every message that is dropped */
function linkOf(
  { deps, bootId, telemetry }: UplinkParts,
  session: Pick<UplinkSession, 'whileUp' | 'receive'>,
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

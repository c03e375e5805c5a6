import type { Logging } from '../shared/log.ts';
import type { AgentDeps } from './agent-deps.ts';
import { type CommandHandlers, createCommandRunner } from './commands/commands.ts';
import type { InForce } from './desired/in-force.ts';
import { createControllerGate } from './link/controller-gate.ts';
import type { LinkDeps } from './link/link.ts';
import { fixedReport, reportOf } from './report/document.ts';
import { createReporter } from './report/reporter.ts';
import { createFrameLoop, type FrameLoop } from './runtime/loop.ts';
import type { Serving } from './serving.ts';
import { type AgentStatus, statusOf } from './status.ts';
import type { Telemetry } from './telemetry/telemetry.ts';
import { createWindowLoop, type WindowLoop } from './telemetry/window-loop.ts';
import { createUplinkSession } from './uplink-session.ts';

export interface Wiring {
  readonly deps: AgentDeps;
  readonly bootId: string;
  readonly inForce: InForce;
  readonly telemetry: Telemetry;
  readonly serving: Serving;
  readonly askRestart: () => void;
}

/** The loops of an agent, ready to run, and what it says of itself. */
export interface Wired {
  readonly loop: FrameLoop;
  readonly windows: WindowLoop;
  readonly link: LinkDeps;
  readonly status: () => AgentStatus;
  /** Whether telemetry that is recorded now would be taken in. */
  readonly canSend: () => boolean;
}

const LINK_BACKOFF = { firstMs: 500, capMs: 30_000 };
const REPORT_INTERVAL_MS = 1_000;
/** Longest reason in a message of the protocol. */
const MAX_REASON = 1_000;
/** A `logs` answer stays well under the size of a message. */
const MAX_LOG_CHARACTERS = 60_000;

/** Joins the parts of an agent by callbacks; starts nothing. */
export function wire({ deps, bootId, inForce, telemetry, serving, askRestart }: Wiring): Wired {
  const { config, clock, logging } = deps;
  const { log } = logging;
  const identity = { fleet: config.fleet, device: config.device };
  const loop = createFrameLoop({
    ...serving,
    clock,
    listener: telemetry.listener,
    inForce: () => ({ requirement: inForce.requirement(), frameRate: inForce.settings().frameRate }),
  });
  const windows = createWindowLoop({
    ...telemetry,
    clock,
    windowMs: () => inForce.settings().windowMs,
    end: () => ({
      family: serving.activation.family.sha256,
      slowdown: loop.state().slowdown,
      requirement: inForce.requirement(),
    }),
  });
  const refused = tellRefusedFamily(serving, telemetry, logging);
  const rejected: Record<string, number> = {};
  const fixed = fixedReport(bootId, serving.activation.family, serving.profile);
  const report = () => reportOf(fixed, { resolved: inForce.resolved(), refused, rejected: { ...rejected } });
  const reporter = createReporter({ clock, minIntervalMs: REPORT_INTERVAL_MS, current: report });
  const gate = createControllerGate();
  const session = createUplinkSession({
    identity,
    gate,
    reporter,
    log,
    publisher: telemetry.publisher,
    desired: inForce.documents,
    commands: createCommandRunner(clock, handlersOf(logging, askRestart)),
    onDesired: () => {
      inForce.refresh();
      log.level = inForce.settings().logLevel;
      log.info({ requirement: inForce.requirement(), settings: inForce.settings() }, 'desired state applied');
      windows.lengthChanged();
      reporter.touch();
    },
  });
  const link: LinkDeps = {
    ...deps,
    ...identity,
    log,
    bootId,
    url: config.broker.url,
    username: config.broker.username ?? undefined,
    password: config.broker.password ?? undefined,
    newSession: deps.newId,
    backoff: LINK_BACKOFF,
    isOwnBoot: telemetry.outbox.knowsBoot,
    onMessage: session.receive,
    onBadMessage: ({ reason, detail }) => {
      rejected[reason] = (rejected[reason] ?? 0) + 1;
      log.debug({ reason, detail }, 'message dropped');
      reporter.touch();
    },
    onTakeover: (other) => {
      log.error({ other }, `another agent uses the identity '${config.device}': give each device its own`);
      telemetry.recorder.event({
        kind: 'fault',
        what: 'identity taken over',
        reason: `boot ${other} uses it too`,
      });
    },
    whileUp: session.whileUp,
  };
  const startedMs = clock.monoMs();
  const status = () =>
    statusOf({
      identity,
      bootId,
      pid: process.pid,
      uptimeMs: Math.round(clock.monoMs() - startedMs),
      link: { connected: session.isUp, controllerOnline: gate.isOnline },
      report: report(),
      manager: loop.state(),
      telemetry: { ...telemetry.outbox.totals(), lost: telemetry.recorder.lost() },
    });
  return { loop, windows, link, status, canSend: () => session.isUp && gate.isOnline };
}

function tellRefusedFamily({ activation }: Serving, { recorder }: Telemetry, { log }: Logging) {
  const { family, refused } = activation;
  if (refused === undefined) return [];
  const reason = refused.message.slice(0, MAX_REASON);
  log.error(`${reason}; refused, the last good family ${family.manifest.name} runs`);
  recorder.event({ kind: 'fault', what: 'family refused', reason });
  return [{ scope: 'configuration', field: 'family', reason }];
}

function handlersOf({ ring }: Logging, askRestart: () => void): CommandHandlers {
  return {
    ping: () => ({ state: 'done' }),
    logs: ({ lines = 100 }) => ({ state: 'done', lines: newestThatFit(ring.newest(lines)) }),
    restart: () => {
      askRestart();
      return { state: 'done' };
    },
  };
}

function newestThatFit(lines: readonly string[]): string[] {
  let characters = 0;
  const fits = (line: string): boolean => {
    characters += JSON.stringify(line).length + 1;
    return characters < MAX_LOG_CHARACTERS;
  };
  return lines.toReversed().filter(fits).reverse();
}

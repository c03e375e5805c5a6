import { formatPercent } from '../shared/cli/format.ts';
import type { Clock } from '../shared/clock.ts';
import type { ProfileAnswer } from '../shared/control/protocol.ts';
import type { Logging } from '../shared/log.ts';
import type { ProfileAction } from '../shared/protocol/command.ts';
import type { ProcessingElement } from '../shared/protocol/window.ts';
import type { AgentDeps } from './agent-deps.ts';
import { type CommandHandlers, createCommandRunner } from './commands/commands.ts';
import { explainCommand } from './commands/explain.ts';
import { type ControlHandlers, explainHandlers } from './control/handlers.ts';
import type { InForce } from './desired/in-force.ts';
import type { ExplainRing } from './explain/ring.ts';
import { createControllerGate } from './link/controller-gate.ts';
import type { LinkDeps } from './link/link.ts';
import { type AgentMetrics, createAgentMetrics } from './metrics/metrics.ts';
import { momentOf, windowEndOf } from './moment.ts';
import { openReferenceStore } from './operation/audit-references.ts';
import { bothOf } from './operation/listener.ts';
import { createOperation, type Operation } from './operation/operation.ts';
import { fixedReport, type PointState, reportOf } from './report/document.ts';
import { createReporter } from './report/reporter.ts';
import type { Sensors } from './sensors/sensors.ts';
import type { Serving } from './serving.ts';
import { statusOf } from './status.ts';
import type { Meta } from './store/database.ts';
import type { Telemetry } from './telemetry/telemetry.ts';
import { createWindowLoop, type WindowLoop } from './telemetry/window-loop.ts';
import { createUplinkSession } from './uplink-session.ts';

export interface Wiring {
  readonly deps: AgentDeps;
  readonly bootId: string;
  readonly inForce: InForce;
  readonly telemetry: Telemetry;
  readonly serving: Serving;
  readonly sensors: Sensors;
  /** What audits have learnt is kept there. */
  readonly meta: Meta;
  /** Ends what is under way in the background. */
  readonly signal: AbortSignal;
  readonly askRestart: () => void;
}

/** The loops of an agent, ready to run, and what it says of itself. */
export interface Wired {
  readonly operation: Operation;
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
/** Longest reason in a message of the protocol. */
const MAX_REASON = 1_000;
/** A `logs` answer stays well under the size of a message. */
const MAX_LOG_CHARACTERS = 60_000;

/** Joins the parts of an agent by callbacks; starts nothing. */
export function wire(wiring: Wiring): Wired {
  const { deps, bootId, inForce, telemetry, serving, sensors, askRestart } = wiring;
  const { config, clock, logging } = deps;
  const { log } = logging;
  const identity = { fleet: config.fleet, device: config.device };
  const metrics = config.metrics.port === null ? undefined : createAgentMetrics(() => now());
  const operation = createOperation({
    serving,
    sensors,
    config,
    clock,
    random: deps.random,
    log,
    requirement: inForce.requirement,
    frameRate: () => inForce.settings().frameRate,
    listen: (knowledge) => {
      const told = telemetry.listen(knowledge);
      return metrics === undefined ? told : bothOf(told, metrics.hear(knowledge));
    },
    event: telemetry.recorder.event,
    onChanged: () => reporter.touch(),
    references: openReferenceStore(wiring.meta, serving.activation.family.sha256),
    signal: wiring.signal,
  });
  const windows = createWindowLoop({
    ...telemetry,
    clock,
    windowMs: () => inForce.settings().windowMs,
    end: () => windowEndOf({ ...wiring, operation }),
  });
  const refused = tellRefusedFamily(serving, telemetry, logging);
  tellOutOfService(serving, telemetry, logging);
  const rejected: Record<string, number> = {};
  const fixed = fixedReport(bootId, serving.activation.family, serving.profile);
  const report = () =>
    reportOf(fixed, {
      resolved: inForce.resolved(),
      refused,
      rejected: { ...rejected },
      points: [...operation.points(), ...outOfService(serving)],
      policy: operation.policy,
      profile: operation.profileKeeper.info(),
      sensors: sensors.health(),
    });
  const reporter = createReporter({ clock, minIntervalMs: REPORT_INTERVAL_MS, current: report });
  const gate = createControllerGate();
  const session = createUplinkSession({
    identity,
    gate,
    reporter,
    log,
    publisher: telemetry.publisher,
    desired: inForce.documents,
    commands: createCommandRunner(
      clock,
      handlersOf({ logging, operation, ring: telemetry.ring, clock, askRestart }),
    ),
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
      manager: operation.view(),
      telemetry: { ...telemetry.outbox.totals(), lost: telemetry.recorder.lost() },
    });
  const now = () =>
    momentOf(
      { ...wiring, ...identity, operation },
      { isLinkUp: session.isUp, isControllerOnline: gate.isOnline },
    );
  const control: ControlHandlers = {
    status,
    ...explainHandlers({ ring: telemetry.ring, clock, profile: operation.profile }),
    profile: ({ action }) => answerProfile(operation, action),
  };
  return { operation, windows, link, control, metrics, canSend: () => session.isUp && gate.isOnline };
}

function tellRefusedFamily({ activation }: Serving, { recorder }: Telemetry, { log }: Logging) {
  const { family, refused } = activation;
  if (refused === undefined) return [];
  const reason = refused.message.slice(0, MAX_REASON);
  log.error(`${reason}; refused, the last good family ${family.manifest.name} runs`);
  recorder.event({ kind: 'fault', what: 'family refused', reason });
  return [{ scope: 'configuration', field: 'family', reason }];
}

/** Says once, at the start, what the last process died of and which levels cannot be run. */
function tellOutOfService({ judgement, leftOut }: Serving, { recorder }: Telemetry, { log }: Logging): void {
  const tell = (pe: ProcessingElement, level: number, reason: string): void => {
    log.warn({ pe, level }, reason);
    recorder.event({ kind: 'quarantine', state: 'begins', pe, level, reason: reason.slice(0, MAX_REASON) });
  };
  if (judgement !== undefined) {
    const { suspect, sentence, reason } = judgement;
    if (sentence === 'quarantined') tell(suspect.point.pe, suspect.point.level, reason);
    else recorder.event({ kind: 'fault', what: 'a run did not end', reason: reason.slice(0, MAX_REASON) });
  }
  for (const { pe, level, reason } of leftOut) tell(pe, level, reason);
}

/** Levels that are not run: they are shown beside the others, with the reason. */
function outOfService({ activation, quarantined, leftOut }: Serving): PointState[] {
  return [...quarantined, ...leftOut].map(({ pe, level, reason }) => ({
    pe,
    level,
    accuracy: activation.family.manifest.levels[level]?.accuracy ?? 0,
    latencyMs: 0,
    usable: false,
    quarantined: reason,
  }));
}

interface Answering {
  readonly logging: Logging;
  readonly operation: Operation;
  readonly ring: ExplainRing;
  readonly clock: Clock;
  readonly askRestart: () => void;
}

function handlersOf({ logging, operation, ring, clock, askRestart }: Answering): CommandHandlers {
  return {
    ping: () => ({ state: 'done' }),
    logs: ({ lines = 100 }) => ({ state: 'done', lines: newestThatFit(logging.ring.newest(lines)) }),
    explain: explainCommand(ring, clock),
    profile: ({ action = 'show' }) => ({ state: 'done', ...answerProfile(operation, action) }),
    audit: () => ({ state: 'done', ...answerAudit(operation.audit()) }),
    restart: () => {
      askRestart();
      return { state: 'done' };
    },
  };
}

function answerProfile({ profileKeeper }: Operation, action: ProfileAction): ProfileAnswer {
  if (action === 'measure') profileKeeper.measure();
  return profileKeeper.answer();
}

function answerAudit(view: ReturnType<Operation['audit']>): ProfileAnswer {
  const { drift, auditShare, levels, audits, dropped } = view;
  const lines = levels.map(({ accuracy, agreement, audits: made }, level) => {
    const known =
      accuracy === undefined
        ? 'accuracy not known from audits'
        : `accuracy ${formatPercent(accuracy.low)} to ${formatPercent(accuracy.high)}`;
    return `level ${level}  ${known}, ${made} audits, ${formatPercent(agreement.share)} agree`;
  });
  const alarm =
    drift === undefined ? 'no drift' : `drift since ${drift.inferences} inferences, by ${drift.by}`;
  return {
    lines: [`${alarm}; ${audits} audits, ${formatPercent(auditShare)} of inferences are audited`, ...lines],
    data: { drift: drift ?? null, auditShare, audits, dropped, levels },
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

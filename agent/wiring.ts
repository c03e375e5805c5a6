import { answerProfile, commandHandlers } from './answers.ts';
import { type ControlHandlers, explainHandlers } from './control/handlers.ts';
import type { AgentCore } from './core.ts';
import { type AgentMetrics, createAgentMetrics } from './metrics/metrics.ts';
import { momentOf, windowEndOf } from './moment.ts';
import { outOfService, tellJudgements, tellLeftOut, tellRefusedFamily } from './out-of-service.ts';
import type { Sensors } from './sensors/sensors.ts';
import { createFamilyHost, type ServiceHost } from './service/family-host.ts';
import { operateWith } from './service/operate.ts';
import type { FirstServing } from './serving.ts';
import { statusOf } from './status.ts';
import { createWindowLoop, type WindowLoop } from './telemetry/window-loop.ts';
import { type UplinkParts, type WiredUplink, wireUplink } from './uplink-wiring.ts';

export interface Wiring extends Pick<UplinkParts, 'deps' | 'updates'>, AgentCore {
  readonly first: FirstServing;
  /** Engine and frames of the first family. */
  readonly resources: AsyncDisposableStack;
  readonly sensors: Sensors;
  readonly askRestart: () => void;
}

/** The loops of an agent, ready to run, and what it says of itself. */
export interface Wired extends Pick<WiredUplink, 'installer' | 'link' | 'canSend'> {
  /** Of the families: the one that serves, and those that take its place. */
  readonly host: ServiceHost;
  readonly windows: WindowLoop;
  readonly control: ControlHandlers;
  /** Undefined when they are not wanted. */
  readonly metrics: AgentMetrics | undefined;
}

/** Joins the parts of an agent by callbacks; starts nothing. */
export function wire(wiring: Wiring): Wired {
  const { deps, bootId, inForce, telemetry, first, sensors, askRestart } = wiring;
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
    operate: operateWith({ ...wiring, metrics, onChanged: () => uplink.touch() }),
    onLeaving: windows.familyLeaves,
    onActivated: ({ serving }) => {
      const { name, version } = serving.family.manifest;
      log.info({ family: name, version }, 'another family serves');
      tellLeftOut(serving, told);
      uplink.touch();
    },
  });
  const operation = () => host.current().operation;
  const refused = tellRefusedFamily(first, told);
  tellJudgements(first, told);
  tellLeftOut(first, told);
  const { ring } = telemetry;
  const uplink = wireUplink({
    ...wiring,
    host,
    windows,
    refused,
    hasAnswered: () => ring.inferences(1).length > 0,
    levels: () => ({
      points: [...operation().points(), ...outOfService(host.current().serving)],
      policy: operation().policy,
      profile: operation().profileKeeper.info(),
      sensors: sensors.health(),
    }),
    commands: commandHandlers({ logging, operation, ring, clock, askRestart }),
  });
  const startedMs = clock.monoMs();
  const status = () =>
    statusOf({
      identity,
      bootId,
      pid: process.pid,
      uptimeMs: Math.round(clock.monoMs() - startedMs),
      link: { connected: uplink.isLinkUp, controllerOnline: uplink.isControllerOnline },
      report: uplink.report(),
      manager: operation().view(),
      telemetry: { ...telemetry.outbox.totals(), lost: telemetry.recorder.lost() },
    });
  const now = () =>
    momentOf(
      { ...identity, telemetry, service: host.current() },
      { isLinkUp: uplink.isLinkUp, isControllerOnline: uplink.isControllerOnline },
    );
  const control: ControlHandlers = {
    status,
    ...explainHandlers({ ring, clock }),
    profile: ({ action }) => answerProfile(operation(), action),
  };
  const { installer, link, canSend } = uplink;
  return { host, installer, windows, link, control, metrics, canSend };
}

import type { Loop } from '../../shared/backoff.ts';
import type { Random } from '../../shared/random.ts';
import type { AgentDeps } from '../agent-deps.ts';
import { commonHandlers } from '../answers.ts';
import { createBackground } from '../background.ts';
import type { CommandHandlers } from '../commands/commands.ts';
import { type AgentCore, flushOutbox, openCore } from '../core.ts';
import { keepLink } from '../link/link.ts';
import { tellRefusedFamily } from '../out-of-service.ts';
import type { FamilyHost } from '../service/family-host.ts';
import { type Activation, activateFamily } from '../store/family-store.ts';
import { createWindowLoop, type WindowEnd } from '../telemetry/window-loop.ts';
import { openUpdates } from '../updates.ts';
import { type WiredUplink, wireUplink } from '../uplink-wiring.ts';
import { createDrawnFrames, type DrawnFrames } from './drawn-frames.ts';
import { createDrawnHost } from './drawn-host.ts';
import { drawnPoints } from './drawn-levels.ts';

export interface DrawnAgentDeps extends AgentDeps {
  /** Of latencies and answers. */
  readonly drawn: Random;
  /** How long it waits before it connects for the first time, milliseconds. */
  readonly joinMs: number;
}

export interface DrawnAgent extends AsyncDisposable {
  /** Resolves when the controller asked for a restart. */
  readonly restartAsked: Promise<void>;
}

/** No library runs anything here. */
const QUALIFIER = 'drawn';
const POLICY = 'drawn';

/**
 * Starts an agent of which only the inference is drawn: its link, desired documents, trust, transfer, installs and
 * telemetry are those of every agent, over a state folder of its own.
 * @throws AppError when the state folder is in use, or there is no family
 */
export async function startDrawnAgent(deps: DrawnAgentDeps): Promise<DrawnAgent> {
  await using stack = new AsyncDisposableStack();
  const { config, clock, logging } = deps;
  const { log } = logging;
  const core = openCore(deps, stack);
  const { inForce, telemetry } = core;
  const restart = Promise.withResolvers<void>();
  const activation = await activate(deps, core);
  const updates = await openUpdates({ ...deps, database: core.database, log });
  const windows = createWindowLoop({
    ...telemetry,
    clock,
    windowMs: () => inForce.settings().windowMs,
    end: () => endOf(core, host),
  });
  const host = createDrawnHost({
    first: activation.family,
    random: deps.drawn,
    onLeaving: windows.familyLeaves,
    onActivated: () => uplink.touch(),
  });
  const frames = framesOf(deps, core, host);
  const { ring, outbox } = telemetry;
  const uplink: WiredUplink = wireUplink({
    ...{ ...core, deps, updates, host, windows },
    hasAnswered: () => frames.answered > 0,
    levels: () => ({ points: drawnPoints(host.serving().manifest), policy: POLICY, sensors: [] }),
    refused: tellRefusedFamily(activation, { event: telemetry.recorder.event, log }),
    commands: drawnHandlers(commonHandlers({ logging, ring, clock, askRestart: restart.resolve }), host),
  });
  const background = createBackground({ ...deps, log, stack });
  background(
    'link',
    joining(deps, (stop) => keepLink(uplink.link, stop)),
  );
  stack.defer(() => flushOutbox({ clock, log }, outbox, uplink.canSend));
  background('windows', windows.run);
  background('frames', frames.run);
  background('installer', uplink.installer.run);
  log.debug({ device: config.device, bootId: core.bootId }, 'drawn agent started');
  const parts = stack.move();
  return { restartAsked: restart.promise, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

function activate({ config, clock }: DrawnAgentDeps, { database }: AgentCore): Promise<Activation> {
  return activateFamily(config.family.dir, {
    database,
    stateDir: config.state.dir,
    now: () => clock.now(),
    qualifier: QUALIFIER,
    admit: () => undefined,
    qualify: async () => true,
  });
}

/** Waits before the first connection; not again when the loop is started again. */
function joining({ clock, joinMs }: DrawnAgentDeps, loop: Loop): Loop {
  const fromMs = clock.monoMs() + joinMs;
  return async (signal) => {
    const leftMs = fromMs - clock.monoMs();
    if (leftMs > 0) await clock.sleep(leftMs, signal);
    await loop(signal);
  };
}

function framesOf({ clock, drawn }: DrawnAgentDeps, core: AgentCore, host: FamilyHost): DrawnFrames {
  const { inForce, telemetry } = core;
  return createDrawnFrames({
    clock,
    random: drawn,
    gatherer: telemetry.gatherer,
    points: () => drawnPoints(host.serving().manifest),
    frameRate: () => inForce.settings().frameRate,
    budgetMs: () => inForce.requirement().latencyMs,
  });
}

function endOf({ inForce }: AgentCore, host: FamilyHost): WindowEnd {
  const desired = inForce.documents.current().device?.version;
  return {
    family: host.serving().sha256,
    ...(desired === undefined ? {} : { desired }),
    slowdown: 1,
    price: 0,
    drifting: false,
    requirement: inForce.requirement(),
  };
}

function drawnHandlers(common: ReturnType<typeof commonHandlers>, host: FamilyHost): CommandHandlers {
  return {
    ...common,
    profile: () => {
      const points = drawnPoints(host.serving().manifest);
      const lines = points.map(({ level, latencyMs }) => `level ${level}  ${latencyMs} ms, drawn`);
      return { state: 'done', lines, data: { points } };
    },
    audit: () => ({ state: 'failed', reason: 'answers are drawn on this device: there is nothing to audit' }),
  };
}

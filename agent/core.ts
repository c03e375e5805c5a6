import type { Clock } from '../shared/clock.ts';
import { describeError } from '../shared/errors.ts';
import { makeStateFolder } from '../shared/files.ts';
import type { Logger } from '../shared/log.ts';
import type { Sqlite } from '../shared/sqlite.ts';
import type { AgentDeps } from './agent-deps.ts';
import type { AgentConfig } from './config.ts';
import { statedRequirement } from './config-parts.ts';
import { type InForce, type OwnDefaults, openInForce } from './desired/in-force.ts';
import { rssBytes } from './moment.ts';
import { type Meta, metaOf, openAgentDatabase } from './store/database.ts';
import type { Outbox } from './telemetry/outbox.ts';
import { openTelemetry, type Telemetry } from './telemetry/telemetry.ts';

/** What every agent keeps in its state folder, whatever its answers come from. */
export interface AgentCore {
  readonly bootId: string;
  readonly database: Sqlite;
  readonly meta: Meta;
  readonly inForce: InForce;
  readonly telemetry: Telemetry;
}

/** What waits is sent before a stop for at most this long; the rest is sent after the next start. */
const FLUSH_MS = 5_000;
const FLUSH_POLL_MS = 10;

/**
 * Opens database, desired documents and outbox, and records that the boot has begun.
 * @param stack closes the database
 * @throws AppError when the state folder is in use or cannot be made
 */
export function openCore(
  { config, clock, logging: { log }, newId }: AgentDeps,
  stack: AsyncDisposableStack,
): AgentCore {
  const bootId = newId();
  makeStateFolder(config.state.dir, 0o750);
  const database = stack.adopt(openAgentDatabase(config.state.dir), (open) => {
    open.close();
  });
  const meta = metaOf(database);
  meta.set('device', config.device);
  const inForce = openInForce(database, defaultsOf(config), (error) => {
    log.warn(`a desired document is in force but not kept: ${describeError(error)}`);
  });
  log.level = inForce.settings().logLevel;
  const { maxMebibytes, maxAgeMs } = config.outbox;
  const telemetry = openTelemetry({
    database,
    bootId,
    clock,
    log,
    maxBytes: maxMebibytes * 2 ** 20,
    maxAgeMs,
    sensorPeriodMs: config.sensors.periodMs,
    rssBytes,
  });
  return { bootId, database, meta, inForce, telemetry };
}

/** Lets the controller take what waits before a stop, as long as it does so. */
export async function flushOutbox(
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  outbox: Outbox,
  canSend: () => boolean,
): Promise<void> {
  const deadlineMs = clock.monoMs() + FLUSH_MS;
  while (canSend() && outbox.totals().pending > 0 && clock.monoMs() < deadlineMs)
    await clock.sleep(FLUSH_POLL_MS);
  // What stays on the disk although it was acknowledged is sent again: no reason to fail a stop.
  try {
    outbox.settle();
  } catch (error) {
    log.warn(`the outbox cannot forget what was acknowledged: ${describeError(error)}`);
  }
}

function defaultsOf(config: AgentConfig): OwnDefaults {
  return {
    requirement: statedRequirement(config.requirement),
    settings: {
      windowMs: config.telemetry.windowMs,
      frameRate: config.frames.rate,
      logLevel: config.log.level,
    },
  };
}

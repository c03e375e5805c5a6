import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import { packageVersion } from '../../shared/package.ts';
import type { Sqlite } from '../../shared/sqlite.ts';
import { createExplainRing, type ExplainRing } from '../explain/ring.ts';
import type { OperationKnowledge, OperationListener } from '../operation/listener.ts';
import { metaOf } from '../store/database.ts';
import { createEventLimiter } from './event-limiter.ts';
import { createDeviceGatherer, type DeviceGatherer } from './gauges.ts';
import { createLoopListeners } from './loop-listener.ts';
import { type Outbox, openOutbox, type Waiting } from './outbox.ts';
import { createPublisher, type Publisher } from './publisher.ts';
import { createRecorder, type Recorder } from './recorder.ts';
import { createStamper } from './stamper.ts';
import { createWindowGatherer, type WindowGatherer } from './window.ts';

export interface TelemetryDeps {
  readonly database: Sqlite;
  readonly bootId: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly maxBytes: number;
  readonly maxAgeMs: number;
  /** How often the sensors are read. */
  readonly sensorPeriodMs: number;
  /** Memory of this process, bytes. */
  readonly rssBytes: () => number;
}

/** From what happens to the outbox and out of it. */
export interface Telemetry {
  readonly outbox: Outbox;
  readonly publisher: Publisher;
  readonly recorder: Recorder;
  readonly gatherer: WindowGatherer;
  /** What the sensors said in the window. */
  readonly device: DeviceGatherer;
  /** What waits in the outbox now. */
  readonly waiting: () => Waiting;
  /** See `Stamper`. */
  readonly lastKnownTs: () => number;
  /** What this device did and why, the newest of it. */
  readonly ring: ExplainRing;
  /** Makes the listener of a family in operation. */
  readonly listen: (knowledge: OperationKnowledge) => OperationListener;
}

const ACK_TIMEOUT_MS = 5_000;
const MAX_UNDER_WAY = 500;
const BACKLOG_PAUSE_MS = 20;
/** Over MQTT; counts are exact whatever is held back. */
const EVENTS_PER_MINUTE = 30;
const LOG_LINES_PER_MINUTE = 6;

/** Opens the outbox for this boot, and records that the boot has begun. */
export function openTelemetry(deps: TelemetryDeps): Telemetry {
  const { database, bootId, clock, log } = deps;
  const meta = metaOf(database);
  const outbox = openOutbox({ ...deps, startedTs: clock.now() });
  const stamper = createStamper(clock, {
    load: () => Number(meta.get('clock-floor') ?? 0),
    save: (ts) => meta.set('clock-floor', String(ts)),
  });
  const publisher = createPublisher({
    outbox,
    clock,
    maxUnderWay: MAX_UNDER_WAY,
    backlogPauseMs: BACKLOG_PAUSE_MS,
    ackTimeoutMs: ACK_TIMEOUT_MS,
  });
  const recorder = createRecorder({ outbox, stamper, log, onRecorded: publisher.wake });
  const { previous } = outbox;
  recorder.event({
    kind: 'boot',
    version: packageVersion(),
    ...(previous === undefined ? {} : { previous }),
  });
  log.debug({ bootId, previous }, 'outbox opened');
  const gatherer = createWindowGatherer();
  const ring = createExplainRing();
  const device = createDeviceGatherer(deps.sensorPeriodMs);
  const listen = createLoopListeners({
    gatherer,
    device,
    rssBytes: deps.rssBytes,
    recorder,
    ring,
    clock,
    log,
    switchLimiter: createEventLimiter(clock, EVENTS_PER_MINUTE),
    violationLimiter: createEventLimiter(clock, EVENTS_PER_MINUTE),
    shedLimiter: createEventLimiter(clock, EVENTS_PER_MINUTE),
    logLimiter: createEventLimiter(clock, LOG_LINES_PER_MINUTE),
  });
  const waiting = (): Waiting => outbox.waiting(stamper.now());
  const { lastKnownTs } = stamper;
  return { outbox, publisher, recorder, gatherer, device, waiting, lastKnownTs, ring, listen };
}

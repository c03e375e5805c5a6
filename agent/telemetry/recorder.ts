import { describeError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { EventBody } from '../../shared/protocol/event.ts';
import type { WindowBody } from '../../shared/protocol/window.ts';
import type { NewRecord, Outbox } from './outbox.ts';
import type { Stamper } from './stamper.ts';

export interface RecorderDeps {
  readonly outbox: Outbox;
  readonly stamper: Stamper;
  readonly log: Logger;
  /** Called after something was recorded. */
  readonly onRecorded: () => void;
}

/** Puts windows and events into the outbox. It never throws: a full disk loses telemetry, not inference. */
export interface Recorder {
  window(body: WindowBody): void;
  event(body: EventBody): void;
  /** Records that could not be stored since the boot. */
  lost(): number;
}

/** Makes a recorder over an open outbox. */
export function createRecorder({ outbox, stamper, log, onRecorded }: RecorderDeps): Recorder {
  let lost = 0;
  let failing = false;
  const record = (entry: NewRecord): void => {
    try {
      const arrived = stamper.arrivedOffsetMs();
      if (arrived !== undefined)
        log.info({ rows: outbox.redate(arrived) }, 'time has arrived: dated the waiting records again');
      outbox.append(entry, stamper.now());
      if (failing) log.info({ lost }, 'telemetry can be stored again');
      failing = false;
      onRecorded();
    } catch (error) {
      lost += 1;
      // Once per spell: a full disk stays full for hours.
      if (!failing) log.error(`telemetry cannot be stored, inference goes on: ${describeError(error)}`);
      failing = true;
    }
  };
  return {
    window: (body) => record({ kind: 'window', body }),
    event: (body) => record({ kind: 'event', body }),
    lost: () => lost,
  };
}

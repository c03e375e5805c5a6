import type { Clock } from '../../shared/clock.ts';
import type { Reported } from '../../shared/protocol/reported.ts';

export interface ReporterDeps {
  readonly clock: Clock;
  /** What is to be reported now. */
  readonly current: () => Reported;
  /** At most one report in this time; changes in between go with the next. */
  readonly minIntervalMs: number;
}

/** Publishes the reported document when it has changed, and only then. */
export interface Reporter {
  /** Says that something may have changed. */
  touch(): void;
  /** Runs while the link is up; the first report of a connection is always sent, for a broker that forgot. */
  run(publish: (document: Reported) => Promise<void>, signal: AbortSignal): Promise<void>;
}

/** Makes a reporter. */
export function createReporter({ clock, current, minIntervalMs }: ReporterDeps): Reporter {
  let touched = Promise.withResolvers<void>();
  return {
    touch: () => touched.resolve(),
    run: async (publish, signal) => {
      let last = '';
      const stopped = new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      while (!signal.aborted) {
        touched = Promise.withResolvers<void>();
        const document = current();
        const text = JSON.stringify(document);
        if (text !== last) await publish(document);
        last = text;
        await clock.sleep(minIntervalMs, signal).catch(() => undefined);
        await Promise.race([touched.promise, stopped]);
      }
    },
  };
}

import type { InstallReport, ReleaseKind } from '../../shared/protocol/release.ts';
import type { InstallJournal, JournalChange, OrderRecord } from '../store/install-journal.ts';
import { reportOf } from './records.ts';

export interface ScribeDeps {
  readonly kind: ReleaseKind;
  readonly journal: InstallJournal;
  /** Tells the controller that a state or a step is another. */
  readonly tell: (report: InstallReport) => void;
}

/** Writes down what becomes of orders of a kind, and tells it. */
export interface Scribe {
  /** Writes it and, when its state or step is another, tells it. */
  write(record: OrderRecord, change?: Omit<JournalChange, 'record'>): void;
  /** Writes it, to be told by `tellUntold`, in this process or the next. */
  writeUntold(record: OrderRecord, change: Omit<JournalChange, 'record'>): void;
  tellUntold(): void;
  /** An order stands that was carried out before: it is what is reported; nothing has happened. */
  recall(record: OrderRecord): void;
  /** Tells what has no record. */
  show(report: InstallReport): void;
  /** What was told last. */
  report(): InstallReport | undefined;
}

/** Makes the scribe of a kind. */
export function createScribe({ kind, journal, tell }: ScribeDeps): Scribe {
  const newest = journal.newest(kind);
  let view = newest === undefined ? undefined : reportOf(newest);
  const show = (report: InstallReport): void => {
    view = report;
    tell(report);
  };
  return {
    report: () => view,
    recall: (record) => {
      view = reportOf(record);
    },
    show,
    write: (record, change = {}) => {
      const report = reportOf(record);
      const isNews = !record.told || view === undefined || nameOf(view) !== nameOf(report);
      journal.write(kind, { ...change, record: { ...record, told: true } });
      if (isNews) show(report);
      else view = report;
    },
    writeUntold: (record, change) => journal.write(kind, { ...change, record: { ...record, told: false } }),
    tellUntold: () => {
      const record = journal.newest(kind);
      if (record === undefined || record.told) return;
      journal.write(kind, { record: { ...record, told: true } });
      show(reportOf(record));
    },
  };
}

function nameOf({ rollout, deed, state, step }: InstallReport): string {
  return [rollout, deed, state, step].join('/');
}

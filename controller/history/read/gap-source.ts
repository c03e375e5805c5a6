import type { EventBody } from '../../../shared/protocol/event.ts';
import type { Sqlite } from '../../../shared/sqlite.ts';
import type { KnownDevice } from './scope.ts';

export type GapBody = Extract<EventBody, { kind: 'gap' }>;

/** A counted loss: what the device said, and when. */
export interface CountedGap {
  /** Number of the device's series. */
  readonly device: number;
  readonly ts: number;
  readonly body: GapBody;
}

export interface GapSource {
  /** Records that the devices (undefined: all) counted as lost between two times, the second not included. */
  lostIn(devices: readonly KnownDevice[] | undefined, since: number, until: number): number;
  /** Losses that all devices counted between two times. */
  counted(since: number, until: number): Iterable<CountedGap>;
  /** Losses that a device ever counted. */
  countedBy(device: number): CountedGap[];
}

interface Row {
  readonly device: number;
  readonly ts: number;
  readonly body: string;
}

/** Gap events, on a connection that is only read. */
export function createGapSource(sqlite: Sqlite): GapSource {
  const lost = sqlite.prepare<[number, number], number>(
    `SELECT coalesce(sum(json_extract(body, '$.records')), 0) FROM events
     WHERE kind = 'gap' AND ts >= ? AND ts < ?`,
  );
  const lostOf = sqlite.prepare<[number, number, string], number>(
    `SELECT coalesce(sum(json_extract(body, '$.records')), 0) FROM events
     WHERE kind = 'gap' AND ts >= ? AND ts < ? AND device IN (SELECT value FROM json_each(?))`,
  );
  lost.pluck();
  lostOf.pluck();
  const counted = sqlite.prepare<[number, number], Row>(
    "SELECT device, ts, body FROM events WHERE kind = 'gap' AND ts >= ? AND ts < ?",
  );
  const countedBy = sqlite.prepare<[number], Row>(
    "SELECT device, ts, body FROM events WHERE kind = 'gap' AND device = ?",
  );
  return {
    lostIn: (devices, since, until) => {
      const times = [since, until] as const;
      if (devices === undefined) return lost.get(...times) ?? 0;
      return lostOf.get(...times, JSON.stringify(devices.map(({ id }) => id))) ?? 0;
    },
    *counted(since, until) {
      for (const row of counted.iterate(since, until)) yield gapOf(row);
    },
    countedBy: (device) => countedBy.all(device).map(gapOf),
  };
}

function gapOf({ device, ts, body }: Row): CountedGap {
  return { device, ts, body: JSON.parse(body) as GapBody };
}

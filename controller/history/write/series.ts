import { invariant } from '../../../shared/errors.ts';
import type { Sqlite } from '../../../shared/sqlite.ts';

export interface DeviceSeries {
  /** The number of the device's series; it is given one when it has none. */
  idOf(device: string): number;
  /** After a transaction that failed: what it gave out is no more. */
  forget(): void;
}

/** The numbers of the series of devices, remembered. */
export function createDeviceSeries(sqlite: Sqlite): DeviceSeries {
  const select = sqlite.prepare<[string], number>("SELECT id FROM series WHERE kind = 'device' AND name = ?");
  const insert = sqlite.prepare<[string]>("INSERT INTO series (kind, name) VALUES ('device', ?)");
  select.pluck();
  const known = new Map<string, number>();
  return {
    idOf: (device) => {
      const there = known.get(device);
      if (there !== undefined) return there;
      let id = select.get(device);
      if (id === undefined) {
        insert.run(device);
        id = select.get(device);
      }
      invariant(id !== undefined, 'a device has a series');
      known.set(device, id);
      return id;
    },
    forget: () => known.clear(),
  };
}

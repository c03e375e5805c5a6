import { type Order, OrderSchema, type ReleaseKind } from '../../shared/protocol/release.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { Sqlite } from '../../shared/sqlite.ts';

/** The order of each kind that a device has. */
export type DeviceOrders = Readonly<Partial<Record<ReleaseKind, Order>>>;

export interface OrderStore {
  all(): Map<string, DeviceOrders>;
  save(device: string, kind: ReleaseKind, order: Order): void;
  remove(device: string, kind: ReleaseKind): void;
}

export function createOrderStore(sqlite: Sqlite): OrderStore {
  const parse = parserOf(OrderSchema);
  const all = sqlite.prepare<[], { device: string; kind: ReleaseKind; body: string }>(
    'SELECT device, kind, body FROM orders',
  );
  const save = sqlite.prepare('INSERT OR REPLACE INTO orders VALUES (?, ?, ?)');
  const remove = sqlite.prepare('DELETE FROM orders WHERE device = ? AND kind = ?');
  return {
    all: () => {
      const orders = new Map<string, DeviceOrders>();
      for (const { device, kind, body } of all.all()) {
        orders.set(device, { ...orders.get(device), [kind]: parseJson(body, parse, 'stored order') });
      }
      return orders;
    },
    save: (device, kind, order) => {
      save.run(device, kind, JSON.stringify(order));
    },
    remove: (device, kind) => {
      remove.run(device, kind);
    },
  };
}

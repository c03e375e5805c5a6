import Type, { type Static } from 'typebox';
import {
  INSTALL_STATES,
  INSTALL_STEPS,
  OrderSchema,
  type ReleaseKind,
  Sha256Schema,
} from '../../shared/protocol/release.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { Sqlite } from '../../shared/sqlite.ts';
import { metaOf } from './database.ts';

const Count = Type.Integer({ minimum: 0 });

/** A family or a program on this device. */
export const InstalledSchema = Type.Object({
  /** Of a family its family.json, of a program its blob; null: the program that was installed by hand. */
  sha256: Type.Union([Sha256Schema, Type.Null()]),
  /** What brought it; absent: the configured folder, or somebody's hand. */
  release: Type.Optional(Type.Object({ name: Type.String(), version: Count, manifest: Sha256Schema })),
  /** Blobs that it needs beside its own folder: a backbone. */
  blobs: Type.Array(Sha256Schema),
});
export type Installed = Static<typeof InstalledSchema>;

/** What a device holds of a kind. */
const HoldingsSchema = Type.Object({
  /** What boots for sure. */
  committed: Type.Optional(InstalledSchema),
  /** What was committed before that: the way back. */
  before: Type.Optional(InstalledSchema),
  /** What boots on trial, for the order that is in progress. */
  candidate: Type.Optional(InstalledSchema),
});
export type Holdings = Static<typeof HoldingsSchema>;

/** What has to change before an order that ended is tried again. */
const RetrySchema = Type.Union([
  Type.Object({ when: Type.Literal('space'), freeBytes: Type.Number(), needBytes: Type.Number() }),
  Type.Object({ when: Type.Literal('keyring'), version: Count }),
]);
export type Retry = Static<typeof RetrySchema>;

/** How far an order is, or how it ended. */
const OrderRecordSchema = Type.Object({
  order: OrderSchema,
  state: Type.Enum([...INSTALL_STATES]),
  step: Type.Enum([...INSTALL_STEPS]),
  /** When `state` or `step` changed last, milliseconds since the epoch. */
  ts: Type.Number(),
  reason: Type.Optional(Type.String()),
  retry: Type.Optional(RetrySchema),
  activatedTs: Type.Optional(Type.Number()),
  agreement: Type.Optional(Type.Object({ frames: Count, share: Type.Number() })),
  profile: Type.Optional(Type.Object({ latencyMs: Type.Number(), beforeMs: Type.Number() })),
  /** Time that it has served on trial, milliseconds. */
  soakedMs: Type.Number(),
  /** How often the agent has died of what this order does, as far as can be known. */
  deaths: Count,
  /** Whether a death of the process now would be counted. */
  onTrial: Type.Boolean(),
  /** Whether the controller was told of `state` and `step`. */
  told: Type.Boolean(),
});
export type OrderRecord = Static<typeof OrderRecordSchema>;

/** The highest version of a release's name that was ever committed here. */
export interface Floor {
  readonly version: number;
  readonly sha256: string;
}

/** Written all together or not at all, and to the disk before `write` returns. */
export interface JournalChange {
  readonly record?: OrderRecord;
  readonly holdings?: Holdings;
  readonly floor?: Floor & { readonly name: string };
}

/** What a device does about orders, such that a power cut at any moment is no accident. */
export interface InstallJournal {
  holdings(kind: ReleaseKind): Holdings;
  /** The record of an order; orders are the same when rollout and deed are. */
  find(
    kind: ReleaseKind,
    order: { readonly rollout: string; readonly deed: string },
  ): OrderRecord | undefined;
  /** The order that is in progress. */
  open(kind: ReleaseKind): OrderRecord | undefined;
  /** The order of which something was written last. */
  newest(kind: ReleaseKind): OrderRecord | undefined;
  floor(kind: ReleaseKind, name: string): Floor | undefined;
  /** SHA-256 of the family of the configured folder that was activated last. */
  factoryFamily(): string | undefined;
  write(kind: ReleaseKind, change: JournalChange): void;
}

/** Orders of each kind that are remembered: an older one that comes again would be carried out again. */
const MAX_ORDERS = 512;
/** Name of the value in the table `meta`. */
export const FACTORY_KEY = 'factory';

const parseHoldings = parserOf(HoldingsSchema);
const parseRecord = parserOf(OrderRecordSchema);

/** Opens the journal in the agent's database. */
export function openInstallJournal(database: Sqlite): InstallJournal {
  const meta = metaOf(database);
  const read = (where: string) =>
    database.prepare<string[], { body: string }>(
      `SELECT body FROM install_orders WHERE kind = ? ${where} ORDER BY n DESC LIMIT 1`,
    );
  const byName = read('AND rollout = ? AND deed = ?');
  const open = read("AND state = 'in-progress'");
  const newest = read('');
  const holdings = database.prepare<[string], { body: string }>(
    'SELECT body FROM install_holdings WHERE kind = ?',
  );
  const floor = database.prepare<[string, string], Floor>(
    'SELECT version, sha256 FROM install_floors WHERE kind = ? AND name = ?',
  );
  return {
    holdings: (kind) => parsed(holdings.get(kind)?.body, parseHoldings) ?? {},
    find: (kind, { rollout, deed }) => parsed(byName.get(kind, rollout, deed)?.body, parseRecord),
    open: (kind) => parsed(open.get(kind)?.body, parseRecord),
    newest: (kind) => parsed(newest.get(kind)?.body, parseRecord),
    floor: (kind, name) => floor.get(kind, name),
    factoryFamily: () => meta.get(FACTORY_KEY),
    write: writerOf(database),
  };
}

/** This process ends in good order, whatever is on trial: nobody has died of it. */
export function pauseTrial(journal: InstallJournal, kind: ReleaseKind): void {
  const record = journal.open(kind);
  if (record?.onTrial === true) journal.write(kind, { record: { ...record, onTrial: false } });
}

/** What another version wrote and this one cannot read counts as absent. */
function parsed<T>(body: string | undefined, parse: (value: unknown, what: string) => T): T | undefined {
  if (body === undefined) return undefined;
  try {
    return parseJson(body, parse, 'install journal');
  } catch {
    return undefined;
  }
}

function writerOf(database: Sqlite): InstallJournal['write'] {
  const putRecord = database.prepare(
    `INSERT INTO install_orders
     VALUES (?, ?, ?, (SELECT coalesce(max(n), 0) + 1 FROM install_orders), ?, ?)
     ON CONFLICT (kind, rollout, deed) DO UPDATE
     SET n = excluded.n, state = excluded.state, body = excluded.body`,
  );
  const prune = database.prepare(
    `DELETE FROM install_orders WHERE kind = ? AND state <> 'in-progress' AND n <= (
       SELECT n FROM install_orders WHERE kind = ? ORDER BY n DESC LIMIT 1 OFFSET ${MAX_ORDERS})`,
  );
  const putHoldings = database.prepare('INSERT OR REPLACE INTO install_holdings VALUES (?, ?)');
  const raiseFloor = database.prepare(
    `INSERT INTO install_floors VALUES (?, ?, ?, ?)
     ON CONFLICT (kind, name) DO UPDATE SET version = excluded.version, sha256 = excluded.sha256
     WHERE excluded.version > version`,
  );
  const writeAll = database.transaction((kind: ReleaseKind, change: JournalChange) => {
    const { record, holdings, floor } = change;
    if (record !== undefined) {
      const { rollout, deed } = record.order;
      putRecord.run(kind, rollout, deed, record.state, JSON.stringify(record));
      prune.run(kind, kind);
    }
    if (holdings !== undefined) putHoldings.run(kind, JSON.stringify(holdings));
    if (floor !== undefined) raiseFloor.run(kind, floor.name, floor.version, floor.sha256);
  });
  return (kind, change) => durably(database, () => writeAll(kind, change));
}

/** The rest of the database may lose its last moments in a power cut; what the journal says must hold. */
function durably(database: Sqlite, work: () => void): void {
  database.pragma('synchronous = FULL');
  try {
    work();
  } finally {
    database.pragma('synchronous = NORMAL');
  }
}

import Type, { type Static } from 'typebox';
import { ProcessingElementSchema } from '../../shared/protocol/window.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { Sqlite } from '../../shared/sqlite.ts';
import { isOfFacts, type ProfileFacts, profileKey } from './key.ts';

/** A day: what takes longer is no latency. */
const LatencySchema = Type.Number({ minimum: 0, maximum: 86_400_000 });

/** What was measured of one operating point. */
export const PointFiguresSchema = Type.Object({
  pe: ProcessingElementSchema,
  level: Type.Integer({ minimum: 0 }),
  /** Of the model's file. */
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  /** Name of the file that was run instead, where it was one that was optimised on this device. */
  leanFile: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
  /** Intra-op threads, chosen by what they were measured to give. */
  threads: Type.Integer({ minimum: 1 }),
  latency: Type.Object({
    medianMs: Type.Number({ exclusiveMinimum: 0, maximum: 86_400_000 }),
    p95Ms: LatencySchema,
    madMs: LatencySchema,
    runs: Type.Integer({ minimum: 1 }),
  }),
  /** What the process grew by when it was loaded and had run; absent where it cannot be measured. */
  memoryBytes: Type.Optional(Type.Number({ minimum: 0 })),
  /** Of one inference above idle, joules, from a power meter. */
  energyJ: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
  /** Why there is no energy. */
  energyReason: Type.Optional(Type.String({ maxLength: 1_000 })),
});
export type PointFigures = Readonly<Static<typeof PointFiguresSchema>>;

/** A profile with the time at which it was measured, milliseconds since the epoch. */
export interface StoredProfile {
  readonly measuredTs: number;
  readonly points: readonly PointFigures[];
}

/** The profiles that a device keeps, one for each set of facts: power modes come and go. */
export interface ProfileStore {
  /** The profile that holds for these facts. One that is damaged or of another family is none. */
  find(facts: ProfileFacts): StoredProfile | undefined;
  save(facts: ProfileFacts, profile: StoredProfile): void;
  count(): number;
}

/** More are not kept; the one that was not used for longest makes room. */
export const MAX_PROFILES = 16;

interface Row {
  readonly measuredTs: unknown;
  readonly points: string;
}

/** Opens the profiles in the agent's database. */
export function openProfileStore(database: Sqlite): ProfileStore {
  const parse = parserOf(Type.Array(PointFiguresSchema, { minItems: 1, maxItems: 256 }));
  const select = database.prepare<[string], Row>(
    'SELECT measured_ts AS measuredTs, points FROM profiles WHERE key = ?',
  );
  // A counter and not a time: the wall clock of a device may stand years back after a start.
  const next = '(SELECT coalesce(max(used), 0) + 1 FROM profiles)';
  const use = database.prepare(`UPDATE profiles SET used = ${next} WHERE key = ?`);
  const put = database.prepare(
    `INSERT OR REPLACE INTO profiles (key, facts, points, measured_ts, used) VALUES (?, ?, ?, ?, ${next})`,
  );
  const drop = database.prepare(
    'DELETE FROM profiles WHERE key NOT IN (SELECT key FROM profiles ORDER BY used DESC LIMIT ?)',
  );
  const count = database.prepare<[], { n: number }>('SELECT count(*) AS n FROM profiles');

  const touch = (key: string): void => {
    try {
      use.run(key);
    } catch {
      // The disk is full: a profile that cannot be called used is as good.
    }
  };
  const pointsOf = (text: string): PointFigures[] => {
    try {
      return parseJson(text, parse, 'stored profile');
    } catch {
      return [];
    }
  };
  return {
    find: (facts) => {
      const key = profileKey(facts);
      const row = select.get(key);
      if (row === undefined || typeof row.measuredTs !== 'number') return undefined;
      const points = pointsOf(row.points);
      if (points.length === 0 || !points.every((point) => isOfFacts(point, facts))) return undefined;
      touch(key);
      return { measuredTs: row.measuredTs, points };
    },
    save: database.transaction((facts: ProfileFacts, { points, measuredTs }: StoredProfile) => {
      put.run(profileKey(facts), JSON.stringify(facts), JSON.stringify(points), measuredTs);
      drop.run(MAX_PROFILES);
    }),
    count: () => count.get()?.n ?? 0,
  };
}

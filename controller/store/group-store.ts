import Type from 'typebox';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { Sqlite } from '../../shared/sqlite.ts';

/** A group as it is stored; it has members or a selector. */
export interface StoredGroup {
  readonly name: string;
  readonly priority: number;
  readonly selector: string | undefined;
  readonly members: readonly string[];
  /** Stands for a selector that somebody stated a budget for; it has no name that people gave it. */
  readonly anonymous: boolean;
}

export interface GroupStore {
  all(): StoredGroup[];
  save(group: StoredGroup): void;
  remove(name: string): void;
}

interface Row {
  readonly name: string;
  readonly priority: number;
  readonly selector: string | null;
  readonly members: string;
  readonly anonymous: number;
}

export function createGroupStore(sqlite: Sqlite): GroupStore {
  const parseMembers = parserOf(Type.Array(Type.String()));
  const all = sqlite.prepare<[], Row>(
    'SELECT name, priority, selector, members, anonymous FROM groups ORDER BY name',
  );
  const save = sqlite.prepare('INSERT OR REPLACE INTO groups VALUES (?, ?, ?, ?, ?)');
  const remove = sqlite.prepare('DELETE FROM groups WHERE name = ?');
  return {
    all: () =>
      all.all().map((row) => ({
        ...row,
        selector: row.selector ?? undefined,
        members: parseJson(row.members, parseMembers, 'stored members'),
        anonymous: row.anonymous === 1,
      })),
    save: ({ name, priority, selector, members, anonymous }) => {
      save.run(name, priority, selector ?? null, JSON.stringify(members), anonymous ? 1 : 0);
    },
    remove: (name) => {
      remove.run(name);
    },
  };
}

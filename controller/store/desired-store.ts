import Type from 'typebox';
import { type Membership, MembershipSchema, type Version } from '../../shared/protocol/desired.ts';
import type { ScopeKind } from '../../shared/protocol/ids.ts';
import {
  type Requirement,
  RequirementSchema,
  type Settings,
  SettingsSchema,
} from '../../shared/protocol/requirement.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { Sqlite } from '../../shared/sqlite.ts';

/** A desired document: what a scope states, and for a device the groups that it is in. */
export interface StoredDesired {
  readonly kind: ScopeKind;
  /** Of the group or device; empty for the fleet. */
  readonly name: string;
  readonly version: Version;
  readonly requirement: Requirement;
  readonly settings: Settings;
  readonly groups: readonly Membership[];
}

export interface DesiredStore {
  all(): StoredDesired[];
  save(document: StoredDesired): void;
  remove(kind: ScopeKind, name: string): void;
}

interface Row {
  readonly kind: ScopeKind;
  readonly name: string;
  readonly epoch: number;
  readonly n: number;
  readonly requirement: string;
  readonly settings: string;
  readonly groups: string;
}

export function createDesiredStore(sqlite: Sqlite): DesiredStore {
  const parseRequirement = parserOf(RequirementSchema);
  const parseSettings = parserOf(SettingsSchema);
  const parseGroups = parserOf(Type.Array(MembershipSchema));
  const all = sqlite.prepare<[], Row>(
    'SELECT kind, name, epoch, n, requirement, settings, groups FROM desired',
  );
  const save = sqlite.prepare('INSERT OR REPLACE INTO desired VALUES (?, ?, ?, ?, ?, ?, ?)');
  const remove = sqlite.prepare('DELETE FROM desired WHERE kind = ? AND name = ?');
  return {
    all: () =>
      all.all().map(({ kind, name, epoch, n, ...row }) => ({
        kind,
        name,
        version: { epoch, n },
        requirement: parseJson(row.requirement, parseRequirement, 'stored requirement'),
        settings: parseJson(row.settings, parseSettings, 'stored settings'),
        groups: parseJson(row.groups, parseGroups, 'stored groups'),
      })),
    save: ({ kind, name, version, requirement, settings, groups }) => {
      const fields = [requirement, settings, groups].map((field) => JSON.stringify(field));
      save.run(kind, name, version.epoch, version.n, ...fields);
    },
    remove: (kind, name) => {
      remove.run(kind, name);
    },
  };
}

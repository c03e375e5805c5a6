import { type ReleaseKind, type Signature, SignatureSchema } from '../../shared/protocol/release.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { Sqlite } from '../../shared/sqlite.ts';

/** A release that was published: its manifest exactly as it was signed. */
export interface ReleaseRow {
  readonly kind: ReleaseKind;
  readonly name: string;
  readonly version: number;
  /** Of the manifest. */
  readonly sha256: string;
  readonly manifest: Uint8Array;
  readonly signature: Signature;
  readonly publishedTs: number;
}

/** A version that was given: no other content may have it, even after the release was deleted. */
export interface GivenVersion {
  readonly version: number;
  readonly sha256: string;
}

export interface ReleaseStore {
  all(): ReleaseRow[];
  /** The highest version that was ever given to this kind and name. */
  highest(kind: ReleaseKind, name: string): GivenVersion | undefined;
  /** Stores a release, or replaces it. */
  save(row: ReleaseRow): void;
  /** Forgets a release; of the one with the highest version remains that there was one. */
  remove(kind: ReleaseKind, name: string, version: number): void;
}

interface Row extends Omit<ReleaseRow, 'signature'> {
  readonly signature: string;
}

/** Releases in `fleet.db`. A row without a manifest says that its version was given once. */
export function createReleaseStore(sqlite: Sqlite): ReleaseStore {
  const parseSignature = parserOf(SignatureSchema);
  const all = sqlite.prepare<[], Row>(
    `SELECT kind, name, version, sha256, manifest, signature, published_ts AS publishedTs FROM releases
     WHERE length(manifest) > 0 ORDER BY kind, name, version`,
  );
  const highest = sqlite.prepare<[string, string], GivenVersion>(
    'SELECT version, sha256 FROM releases WHERE kind = ? AND name = ? ORDER BY version DESC LIMIT 1',
  );
  return {
    all: () =>
      all.all().map((row) => ({
        ...row,
        signature: parseJson(row.signature, parseSignature, 'stored signature of a release'),
      })),
    highest: (kind, name) => highest.get(kind, name),
    ...changesOf(sqlite),
  };
}

function changesOf(sqlite: Sqlite): Pick<ReleaseStore, 'save' | 'remove'> {
  const put = sqlite.prepare('INSERT OR REPLACE INTO releases VALUES (?, ?, ?, ?, ?, ?, ?)');
  const empty = sqlite.prepare(
    "UPDATE releases SET manifest = x'' WHERE kind = ? AND name = ? AND version = ?",
  );
  const prune = sqlite.prepare(
    `DELETE FROM releases WHERE kind = @kind AND name = @name AND length(manifest) = 0
     AND version < (SELECT max(version) FROM releases WHERE kind = @kind AND name = @name)`,
  );
  return {
    save: sqlite.transaction((row: ReleaseRow): void => {
      const { kind, name, version, sha256, manifest, signature, publishedTs } = row;
      put.run(kind, name, version, sha256, manifest, JSON.stringify(signature), Math.round(publishedTs));
      prune.run({ kind, name });
    }),
    remove: sqlite.transaction((kind: ReleaseKind, name: string, version: number): void => {
      empty.run(kind, name, version);
      prune.run({ kind, name });
    }),
  };
}

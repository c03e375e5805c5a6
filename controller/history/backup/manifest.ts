import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import Type, { type Static } from 'typebox';
import { AppError } from '../../../shared/errors.ts';
import { readWhole, sha256OfFile } from '../../../shared/files.ts';
import { parseJson, parserOf } from '../../../shared/schema.ts';

export const MANIFEST_NAME = 'backup.json';
/** What a backup holds; the order is the one in which they are restored. */
export const BACKUP_FILES = ['history.db', 'fleet.db'] as const;

const Count = Type.Integer({ minimum: 0 });
const FileSchema = Type.Object({
  name: Type.Enum([...BACKUP_FILES]),
  bytes: Count,
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
});

/** What stands in a backup's manifest. */
export const BackupManifestSchema = Type.Object({
  format: Type.Literal(1),
  /** Version of the program that made it. */
  version: Type.String(),
  /** When it was made, milliseconds since the epoch. */
  createdTs: Type.Number({ minimum: 0 }),
  devices: Count,
  windows: Count,
  files: Type.Array(FileSchema, { minItems: BACKUP_FILES.length, maxItems: BACKUP_FILES.length }),
});
export type BackupManifest = Static<typeof BackupManifestSchema>;

const MAX_MANIFEST_BYTES = 64 * 1024;
const parseManifest = parserOf(BackupManifestSchema);

/** Size and hash of the files of a backup folder. */
export function describeFiles(folder: string): Promise<BackupManifest['files']> {
  return Promise.all(
    BACKUP_FILES.map(async (name) => {
      const path = join(folder, name);
      return { name, bytes: (await stat(path)).size, sha256: await sha256OfFile(path) };
    }),
  );
}

/**
 * Reads the manifest of a backup and compares it with the files.
 * @throws AppError `not-found` when there is no backup, `invalid` when it is damaged
 */
export async function readBackup(folder: string): Promise<BackupManifest> {
  const path = join(folder, MANIFEST_NAME);
  const text = new TextDecoder().decode(await readWhole(path, MAX_MANIFEST_BYTES));
  const manifest = parseJson(text, parseManifest, path);
  for (const name of BACKUP_FILES) await checkFile(folder, name, manifest);
  return manifest;
}

async function checkFile(folder: string, name: string, { files }: BackupManifest): Promise<void> {
  const path = join(folder, name);
  const expected = files.find((file) => file.name === name);
  if (expected === undefined) throw new AppError('invalid', `${folder}: the manifest does not name ${name}`);
  const { size } = await stat(path).catch((cause: unknown) => {
    throw new AppError('invalid', `${path}: the file of the backup cannot be read`, { cause });
  });
  if (size !== expected.bytes) {
    throw new AppError('invalid', `${path}: ${size} bytes, but the manifest says ${expected.bytes}`);
  }
  if ((await sha256OfFile(path)) !== expected.sha256) {
    throw new AppError(
      'invalid',
      `${path}: is not what was written: its SHA-256 differs from the manifest's`,
    );
  }
}

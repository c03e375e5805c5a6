import { writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { Header, type HeaderData, Pax } from 'tar';

/** An entry as somebody hostile would write it. */
export interface HostileEntry extends HeaderData {
  readonly path: string;
  readonly content?: string;
  /** Name in an extended header, which counts instead of the other. */
  readonly longPath?: string;
}

/** Writes an archive of anything, gzipped. */
export async function writeArchive(path: string, entries: readonly HostileEntry[]): Promise<void> {
  await writeFile(path, gzipSync(archiveOf(entries)));
}

/** An archive of anything. */
export function archiveOf(entries: readonly HostileEntry[]): Buffer {
  return Buffer.concat([...entries.map(bytesOf), Buffer.alloc(1_024)]);
}

function bytesOf({ content = '', longPath, ...data }: HostileEntry): Buffer {
  const bytes = Buffer.from(content);
  const block = Buffer.alloc(512);
  new Header({ mode: 0o644, size: bytes.length, type: 'File', mtime: new Date(0), ...data }).encode(block, 0);
  const pax = longPath === undefined ? Buffer.alloc(0) : new Pax({ path: longPath }).encode();
  return Buffer.concat([pax, block, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

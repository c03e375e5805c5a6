import { open } from 'node:fs/promises';

/** Makes sure that names which were given or taken in a folder outlive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r');
  await folder.sync();
}

import { constants, type FileHandle, open } from 'node:fs/promises';

/** Files that are open to be read and written, a bounded number of those that nobody uses. */
export interface FileHandles {
  /** Opens a file, or makes it, and does something with it; many may use it at once. */
  use<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T>;
  /** Closes a file; to be called when nobody uses it. */
  close(path: string): Promise<void>;
}

interface Entry {
  readonly opening: Promise<FileHandle>;
  users: number;
}

/** @param limit files that stay open between two uses */
export function createFileHandles(limit: number): FileHandles {
  /** The one that was used least recently first. */
  const entries = new Map<string, Entry>();

  const close = async (path: string): Promise<void> => {
    const entry = entries.get(path);
    if (entry === undefined) return;
    entries.delete(path);
    // One that could not be opened has told so to who used it.
    const file = await entry.opening.catch(() => undefined);
    await file?.close();
  };
  const closeOldest = async (): Promise<void> => {
    const idle = [...entries].filter(([, { users }]) => users === 0);
    for (const [path] of idle.slice(0, Math.max(0, entries.size - limit))) await close(path);
  };
  const enter = (path: string): Entry => {
    const flags = constants.O_RDWR | constants.O_CREAT;
    const entry = entries.get(path) ?? { opening: open(path, flags, 0o644), users: 0 };
    entry.users += 1;
    entries.delete(path);
    entries.set(path, entry);
    return entry;
  };

  return {
    use: async (path, work) => {
      const entry = enter(path);
      try {
        return await work(await entry.opening);
      } catch (error) {
        const isOpen = await entry.opening.then(
          () => true,
          () => false,
        );
        // The next use tries again: a full table of files empties.
        if (!isOpen && entries.get(path) === entry) entries.delete(path);
        throw error;
      } finally {
        entry.users -= 1;
        if (entries.size > limit) await closeOldest();
      }
    },
    close,
  };
}

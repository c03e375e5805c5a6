import type { Serializable } from 'node:child_process';
import { invariant } from './errors.ts';

/** The child's side of a process for native code; its parent holds a `NativeChild`. */

/**
 * Does the one task that the parent sends. When the parent is gone nobody waits for what comes of it, and the
 * process ends, whatever native code is under way.
 * @param work tells by itself how it ended; it does not reject
 */
export function serveParent<Task>(work: (task: Task) => Promise<void>): void {
  process.once('message', (task: Task) => {
    void work(task);
  });
  process.once('disconnect', () => process.exit(0));
}

/** Resolves when the message has been handed to the system: a crash right after does not swallow it. */
export function sayToParent(message: Serializable): Promise<void> {
  return new Promise((resolve, reject) => {
    invariant(process.send, 'it runs as a child process');
    process.send(message, undefined, {}, (error) => (error === null ? resolve() : reject(error)));
  });
}

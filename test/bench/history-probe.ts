/**
 * Runs before the controller's program, in its process: says how long its main thread was held up. Whoever
 * started the process asks by a message.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

const RESOLUTION_MS = 1;

// Threads of the program run it too.
if (isMainThread) {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  process.on('message', () => {
    // The sampler's own interval is part of what it measures.
    process.send?.({ type: 'held', maxMs: delay.max / 1e6 - RESOLUTION_MS });
    delay.reset();
  });
}

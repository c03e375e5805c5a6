import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { MetricsRegistry } from './registry.ts';

const RESOLUTION_MS = 20;

export interface ProcessMetrics extends Disposable {
  /** Sets the values for a scrape. */
  show(): void;
}

/** How the process itself is: memory, processor time, and how long its event loop is held up between two scrapes. */
export function createProcessMetrics(registry: MetricsRegistry): ProcessMetrics {
  const name = (rest: string) => `ofa_controller_${rest}`;
  const resident = registry.gauge(name('process_resident_memory_bytes'), 'Resident memory.');
  const heap = registry.gauge(name('process_heap_bytes'), 'Memory of JavaScript objects in use.');
  const cpu = registry.total(name('process_cpu_seconds_total'), 'Processor time, of user and system.');
  const mean = registry.gauge(name('event_loop_delay_mean_seconds'), 'Mean delay of the event loop.');
  const p99 = registry.gauge(name('event_loop_delay_p99_seconds'), '99th percentile of that delay.');
  const max = registry.gauge(name('event_loop_delay_max_seconds'), 'Greatest delay of the event loop.');
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  return {
    show: () => {
      const { user, system } = process.cpuUsage();
      const memory = process.memoryUsage();
      resident.set(memory.rss);
      heap.set(memory.heapUsed);
      cpu.set((user + system) / 1e6);
      mean.set(Number.isNaN(delay.mean) ? undefined : secondsOver(delay.mean));
      p99.set(delay.count === 0 ? undefined : secondsOver(delay.percentile(99)));
      max.set(delay.count === 0 ? undefined : secondsOver(delay.max));
      delay.reset();
    },
    [Symbol.dispose]: () => {
      delay.disable();
    },
  };
}

/** The sampler's own interval is part of what it measures. */
function secondsOver(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1e3);
}

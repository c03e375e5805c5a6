/** A bounded queue with one consumer, which takes an item out only when it is done with it. */
export interface BoundedQueue<T> {
  readonly size: number;
  /** False when there is no room: the item was not taken. */
  push(item: T): boolean;
  /** The oldest items, at most `count`; they stay. */
  first(count: number): T[];
  /** Takes the oldest `count` items out. */
  drop(count: number): void;
  /** Resolves when at least `count` items are there, or `signal` aborts. */
  waitFor(count: number, signal: AbortSignal): Promise<void>;
}

export function createQueue<T>(capacity: number): BoundedQueue<T> {
  const items: T[] = [];
  let awaited = { count: 0, resolve: () => {} };
  return {
    get size() {
      return items.length;
    },
    push: (item) => {
      if (items.length >= capacity) return false;
      items.push(item);
      if (items.length >= awaited.count) awaited.resolve();
      return true;
    },
    first: (count) => items.slice(0, count),
    drop: (count) => {
      items.splice(0, count);
    },
    waitFor: async (count, signal) => {
      // A wait that nobody awaits any more lets go of its signal, which outlives it by far.
      awaited.resolve();
      if (items.length >= count || signal.aborted) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      awaited = { count, resolve };
      const onAbort = () => resolve();
      signal.addEventListener('abort', onAbort, { once: true });
      await promise;
      signal.removeEventListener('abort', onAbort);
    },
  };
}

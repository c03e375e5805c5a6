/** Things that happen, in order; one reader takes them one by one. */
export interface Inbox<T> {
  /** @param isOwn of our own doing: it never gets lost; else it is dropped where too many wait */
  put(item: T, isOwn?: boolean): void;
  next(): Promise<T>;
}

/** Makes an inbox. */
export function createInbox<T>(maxWaiting: number): Inbox<T> {
  const items: T[] = [];
  let wake = Promise.withResolvers<void>();
  return {
    put: (item, isOwn = false) => {
      if (!isOwn && items.length >= maxWaiting) return;
      items.push(item);
      wake.resolve();
    },
    next: async () => {
      for (;;) {
        const item = items.shift();
        if (item !== undefined) return item;
        wake = Promise.withResolvers();
        await wake.promise;
      }
    },
  };
}

/** What the broker keeps of retained messages: bounded in number and size. */
export interface RetainedBound {
  /** Whether a message of `bytes` may be kept under `topic`, in place of the one that is there; none is kept of 0 bytes. */
  keep(topic: string, bytes: number): boolean;
}

/**
 * Counts retained messages: whoever invents topics must not fill the memory.
 * @param limits how many topics, and how many bytes of all messages and topics together
 */
export function createRetainedBound(limits: {
  readonly topics: number;
  readonly bytes: number;
}): RetainedBound {
  const sizes = new Map<string, number>();
  let total = 0;
  return {
    keep: (topic, bytes) => {
      const before = sizes.get(topic);
      const size = topic.length + bytes;
      if (bytes === 0) {
        sizes.delete(topic);
        total -= before ?? 0;
        return true;
      }
      if (before === undefined && sizes.size >= limits.topics) return false;
      if (total - (before ?? 0) + size > limits.bytes) return false;
      sizes.set(topic, size);
      total += size - (before ?? 0);
      return true;
    },
  };
}

import type { Ack, SeqRange } from '../../shared/protocol/event.ts';

/** The key of one record. */
export interface RecordKey {
  readonly device: string;
  readonly bootId: string;
  readonly seq: number;
}

export interface DeviceAck {
  readonly device: string;
  readonly ack: Ack;
}

/** Closed ranges that hold exactly these numbers, in order. */
export function rangesOf(seqs: Iterable<number>): SeqRange[] {
  const ranges: SeqRange[] = [];
  for (const seq of [...seqs].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && seq <= last[1] + 1) last[1] = seq;
    else ranges.push([seq, seq]);
  }
  return ranges;
}

/** The acknowledgements that these records need: one per device and boot. */
export function acksOf(keys: Iterable<RecordKey>): DeviceAck[] {
  const byBoot = Map.groupBy(keys, ({ device, bootId }) => `${device} ${bootId}`);
  return [...byBoot.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const ranges = rangesOf(group.map(({ seq }) => seq));
    return [{ device: first.device, ack: { bootId: first.bootId, ranges } }];
  });
}

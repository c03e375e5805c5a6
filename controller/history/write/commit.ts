import { describeError } from '../../../shared/errors.ts';
import type { ClockState } from '../../../shared/protocol/envelope.ts';
import type { EventEnvelope } from '../../../shared/protocol/event.ts';
import { isOfData, type Sqlite } from '../../../shared/sqlite.ts';
import type { EventRow } from '../../api/schemas.ts';
import { type Boot, type Boots, createBoots } from './boots.ts';
import { dateOf } from './dating.ts';
import { type PacketRecord, readPacket, type WindowRecord } from './decode.ts';
import { createInserts, type Inserts } from './inserts.ts';
import type { Alarm, CommitResult, DeviceAck, Packet, RecordReject } from './packet.ts';
import { MAX_RANGES, rangesOf } from './seq-set.ts';

/** Refused records that are told one by one; a packed message may hold a thousand. */
const MAX_REJECTS = 100;
/** The protocol allows no more ranges in one acknowledgement. */
const MAX_ACK_RANGES = 10_000;

export interface CommitCore {
  /**
   * Stores what the packets hold, in one transaction: after it returned all of it is in the file, after it
   * threw nothing is that was not there before. Repeats change nothing.
   * @param receivedTs wall clock of the controller when they came, milliseconds since the epoch
   */
  commit(packets: readonly Packet[], receivedTs: number): CommitResult;
  /** Stores something that the controller itself found, as an event of kind `alarm`. */
  raise(alarm: Alarm): void;
  /** To be called when someone else deleted boots: what is remembered of them is not so any more. */
  forget(): void;
}

/** What a commit found so far. */
interface Tally {
  windows: number;
  events: number;
  duplicates: number;
  readonly rejects: RecordReject[];
  readonly newEvents: EventRow[];
  readonly newest: Map<string, number>;
  readonly stored: Map<Boot, { readonly device: string; readonly bootId: string; readonly seqs: number[] }>;
}

interface Core {
  readonly boots: Boots;
  readonly inserts: Inserts;
}

/**
 * The write side of the history over one connection, which is the only one that writes windows and events.
 * Synchronous: for the writer thread, and for tests.
 */
export function createCommitCore(sqlite: Sqlite): CommitCore {
  const boots = createBoots(sqlite);
  const inserts = createInserts(sqlite);
  const core = { boots, inserts };
  const commit = sqlite.transaction((packets: readonly Packet[], receivedTs: number): CommitResult => {
    const tally = emptyTally();
    for (const packet of packets) storePacket(core, packet, receivedTs, tally);
    boots.flush();
    inserts.count(tally);
    return resultOf(tally);
  });
  const raise = sqlite.transaction(({ device, ts, what, reason }: Alarm) => {
    const body = JSON.stringify({ kind: 'alarm', what, reason });
    inserts.alarm(boots.seriesOf(device), Math.round(ts), body);
    inserts.count({ windows: 0, events: 1 });
  });
  const forget = (): void => {
    boots.forget();
    inserts.forget();
  };
  /** What is remembered must be what is in the file, also when a transaction came to nothing. */
  const guarded = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      forget();
      throw error;
    }
  };
  /** Each on its own, in one transaction all the same: what cannot be stored shows it only at the end. */
  const commitEach = sqlite.transaction((packets: readonly Packet[], receivedTs: number): CommitResult => {
    const results = packets.map((packet) => {
      try {
        return guarded(() => commit([packet], receivedTs));
      } catch (error) {
        if (!isOfData(error)) throw error;
        const detail = `${packet.device}: ${describeError(error)}`;
        return resultOf({ ...emptyTally(), rejects: [{ reason: 'not-storable', detail }] });
      }
    });
    return together(results);
  });
  return {
    commit: (packets, receivedTs) => {
      try {
        return guarded(() => commit.immediate(packets, receivedTs));
      } catch (error) {
        if (!isOfData(error)) throw error;
        return guarded(() => commitEach.immediate(packets, receivedTs));
      }
    },
    raise: (alarm) => guarded(() => raise.immediate(alarm)),
    forget,
  };
}

function emptyTally(): Tally {
  return {
    windows: 0,
    events: 0,
    duplicates: 0,
    rejects: [],
    newEvents: [],
    newest: new Map(),
    stored: new Map(),
  };
}

function storePacket(core: Core, packet: Packet, receivedTs: number, tally: Tally): void {
  for (const record of readPacket(packet, tally.rejects)) {
    try {
      storeRecord(core, record, receivedTs, tally);
    } catch (error) {
      // A record that can never be stored must not hold up the others.
      if (!isOfData(error)) throw error;
      refuse(tally, record, describeError(error));
    }
  }
}

function refuse(tally: Tally, { envelope }: PacketRecord, why: string): void {
  const { device, bootId, seq } = envelope;
  tally.rejects.push({ reason: 'not-storable', detail: `${device} ${bootId} record ${seq}: ${why}` });
}

function storeRecord(core: Core, record: PacketRecord, receivedTs: number, tally: Tally): void {
  const { device, bootId, seq } = record.envelope;
  const boot = core.boots.of(device, bootId);
  if (boot.seen.has(seq)) {
    tally.duplicates += 1;
  } else {
    if (boot.seen.size >= MAX_RANGES && boot.seen.standsAlone(seq)) {
      refuse(tally, record, `its boot has ${MAX_RANGES} holes in its numbers already`);
      return;
    }
    const dated = dateIn(boot, record.envelope, receivedTs);
    if (record.kind === 'window') insertWindow(core, boot, record, dated, tally);
    else insertEvent(core, boot, record.envelope, dated, tally);
    boot.seen.add(seq);
  }
  const stored = tally.stored.get(boot);
  if (stored === undefined) tally.stored.set(boot, { device, bootId, seqs: [seq] });
  else stored.seqs.push(seq);
}

interface Dated {
  readonly ts: number;
  readonly flags: number;
}

/** Dates a record, and learns from it what there is to learn of its boot. */
function dateIn(
  boot: Boot,
  envelope: { readonly ts: number; readonly monoMs: number; readonly clock: ClockState },
  receivedTs: number,
): Dated {
  const offsetMs = receivedTs - envelope.monoMs;
  if (offsetMs < boot.offsetMs) {
    boot.offsetMs = offsetMs;
    boot.isChanged = true;
  }
  const dated = dateOf(envelope, receivedTs, boot.offsetMs);
  if (dated.ts < boot.firstTs) {
    boot.firstTs = dated.ts;
    boot.isChanged = true;
  }
  return dated;
}

function insertWindow(
  { inserts }: Core,
  boot: Boot,
  { envelope, durationMs, body }: WindowRecord,
  { ts, flags }: Dated,
  tally: Tally,
): void {
  const { device, seq } = envelope;
  const at = Math.max(0, Math.round(ts - durationMs / 2));
  inserts.window({ boot: boot.id, seq, device: boot.device, at, flags, body });
  tally.windows += 1;
  tally.newest.set(device, Math.max(ts, tally.newest.get(device) ?? 0));
}

function insertEvent(
  { inserts }: Core,
  boot: Boot,
  { device, seq, body }: EventEnvelope,
  { ts, flags }: Dated,
  tally: Tally,
): void {
  const { kind } = body;
  inserts.event({ boot: boot.id, seq, device: boot.device, ts, flags, kind, body: JSON.stringify(body) });
  if (kind === 'boot' && body.previous !== undefined) {
    boot.previous = body.previous;
    boot.isChanged = true;
  }
  tally.events += 1;
  tally.newEvents.push({ device, ts, kind, body });
}

function resultOf({ stored, newest, rejects, ...tally }: Tally): CommitResult {
  return {
    ...tally,
    rejects: [...rejects.slice(0, MAX_REJECTS), ...byReason(rejects.slice(MAX_REJECTS))],
    acks: [...stored.values()].flatMap(acksOf),
    newest: [...newest].map(([device, ts]) => ({ device, ts })),
  };
}

/** One for each reason, with the detail of the last: what crosses to the main thread must not hold that up. */
function byReason(rejects: readonly RecordReject[]): RecordReject[] {
  const last = new Map<string, RecordReject>();
  for (const { reason, detail } of rejects) {
    last.set(reason, { reason, detail, records: (last.get(reason)?.records ?? 0) + 1 });
  }
  return [...last.values()];
}

/** What commits, one after the other, come to. */
function together(results: readonly CommitResult[]): CommitResult {
  const sum = (field: 'windows' | 'events' | 'duplicates') =>
    results.reduce((total, result) => total + result[field], 0);
  const newest = new Map<string, number>();
  for (const { device, ts } of results.flatMap((result) => result.newest)) {
    newest.set(device, Math.max(ts, newest.get(device) ?? 0));
  }
  return {
    ...{ windows: sum('windows'), events: sum('events'), duplicates: sum('duplicates') },
    acks: results.flatMap(({ acks }) => acks),
    rejects: results.flatMap(({ rejects }) => rejects),
    newEvents: results.flatMap(({ newEvents }) => newEvents),
    newest: [...newest].map(([device, ts]) => ({ device, ts })),
  };
}

function acksOf(boot: {
  readonly device: string;
  readonly bootId: string;
  readonly seqs: readonly number[];
}): DeviceAck[] {
  const ranges = rangesOf(boot.seqs);
  const acks: DeviceAck[] = [];
  for (let from = 0; from < ranges.length; from += MAX_ACK_RANGES) {
    const ack = { bootId: boot.bootId, ranges: ranges.slice(from, from + MAX_ACK_RANGES) };
    acks.push({ device: boot.device, ack });
  }
  return acks;
}

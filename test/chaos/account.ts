import { join } from 'node:path';
import { readAgentDatabase } from '../../agent/store/database.ts';
import { totalsOf } from '../../agent/telemetry/outbox.ts';
import { problemsOfHistory } from '../../controller/history/backup/integrity.ts';
import { AppError } from '../../shared/errors.ts';
import { openSqliteReadOnly, type Sqlite } from '../../shared/sqlite.ts';
import { problemsOfRollUps, type RollUpAccount } from './account-rollups.ts';

/** What agents say that they recorded, held against what the history says that it has. */
export interface Account extends RollUpAccount {
  /** Boots of the agents that the history knows. */
  readonly boots: number;
  /** By the agents' own count. */
  readonly recordedWindows: number;
  readonly recordedEvents: number;
  readonly storedWindows: number;
  readonly storedEvents: number;
  /** Sequence numbers that will never arrive. */
  readonly lost: number;
  /** Records that gap events say are lost. */
  readonly countedLost: number;
  /** Records that a gap event says are lost, and that arrived all the same. */
  readonly lostYetStored: number;
  /** Records of windows and events that still wait on a device. */
  readonly waiting: number;
  /** What does not hold, a line each; empty when every record is in the history once, or in a counted gap. */
  readonly problems: readonly string[];
}

export interface AgentFolder {
  readonly device: string;
  readonly dir: string;
}

interface AgentBoot {
  readonly bootId: string;
  readonly lastSeq: number;
  readonly windows: number;
  readonly events: number;
}

/** All that is known of one boot, from both sides. */
interface Boot {
  readonly device: string;
  readonly bootId: string;
  /** What its agent says, unless it has forgotten. */
  recorded: AgentBoot | undefined;
  windows: number;
  events: number;
  readonly seen: Set<number>;
  readonly inGaps: Set<number>;
  countedLost: number;
}

/**
 * Holds the history against the agents' own databases, all of them stopped.
 * @param controllerDir state folder of the controller
 * @throws AppError `not-found` when there is no history
 */
export function account(controllerDir: string, folders: readonly AgentFolder[]): Account {
  const history = openSqliteReadOnly(join(controllerDir, 'history.db'));
  if (history === undefined) throw new AppError('not-found', `${controllerDir}: there is no history`);
  try {
    const agents = folders.map(readAgent);
    const boots = readBoots(history);
    for (const { device, boots: own } of agents) {
      for (const recorded of own) bootIn(boots, device, recorded.bootId).recorded = recorded;
    }
    const all = [...boots.values()];
    const sums = sumsOf(all);
    const recordedWindows = sum(agents.map(({ windows }) => windows));
    const recordedEvents = sum(agents.map(({ events }) => events));
    const waiting = sum(agents.map(({ pending }) => pending));
    const rollUps = problemsOfRollUps(history);
    const missing = recordedWindows + recordedEvents - sums.storedWindows - sums.storedEvents;
    const problems = [
      ...problemsOfHistory(history, true),
      ...repeatsOf(history),
      ...all.flatMap(problemsOfBoot),
      ...rollUps.problems,
      ...(waiting > 0 ? [`${waiting} records still wait on devices that were told to stop`] : []),
      ...(missing > sums.lost ? [`${missing} records are missing, only ${sums.lost} are known as lost`] : []),
      ...(sums.lost > sums.countedLost
        ? [`${sums.lost} records are lost, only ${sums.countedLost} counted`]
        : []),
    ];
    return { ...sums, recordedWindows, recordedEvents, waiting, ...rollUps, problems };
  } finally {
    history.close();
  }
}

function readAgent({ device, dir }: AgentFolder) {
  const database = readAgentDatabase(dir);
  if (database === undefined) throw new AppError('not-found', `${dir}: no agent was here`);
  try {
    const boots = database
      .prepare<[], AgentBoot>(
        'SELECT boot_id AS bootId, last_seq AS lastSeq, windows, events FROM boots ORDER BY rowid',
      )
      .all();
    return { device, boots, ...totalsOf(database) };
  } finally {
    database.close();
  }
}

const BOOTS = `SELECT boots.id, boot_id AS bootId, name AS device,
    (SELECT count(*) FROM windows WHERE boot = boots.id) AS windows,
    (SELECT count(*) FROM events WHERE boot = boots.id) AS events
  FROM boots JOIN series ON series.id = boots.device`;

/** What the history has of every boot. */
function readBoots(history: Sqlite): Map<string, Boot> {
  const boots = new Map<string, Boot>();
  type Row = { id: number; bootId: string; device: string; windows: number; events: number };
  const ranges = history.prepare<[number], { from: number; to: number }>(
    'SELECT from_seq AS "from", to_seq AS "to" FROM seen WHERE boot = ?',
  );
  for (const { id, device, bootId, windows, events } of history.prepare<[], Row>(BOOTS).all()) {
    const boot = bootIn(boots, device, bootId);
    boot.windows = windows;
    boot.events = events;
    for (const { from, to } of ranges.all(id)) addRange(boot.seen, from, to);
  }
  const gaps = history.prepare<[], { device: string; body: string }>(
    "SELECT name AS device, body FROM events JOIN series ON series.id = device WHERE events.kind = 'gap'",
  );
  for (const { device, body } of gaps.all()) {
    // What the history took has passed the schema of events.
    const gap = JSON.parse(body) as { bootId: string; from: number; to: number; records: number };
    const boot = bootIn(boots, device, gap.bootId);
    addRange(boot.inGaps, gap.from, gap.to);
    boot.countedLost += gap.records;
  }
  return boots;
}

function bootIn(boots: Map<string, Boot>, device: string, bootId: string): Boot {
  const key = `${device}/${bootId}`;
  const known = boots.get(key);
  if (known !== undefined) return known;
  const sets = { seen: new Set<number>(), inGaps: new Set<number>() };
  const boot: Boot = { device, bootId, recorded: undefined, windows: 0, events: 0, ...sets, countedLost: 0 };
  boots.set(key, boot);
  return boot;
}

function addRange(numbers: Set<number>, from: number, to: number): void {
  for (let number = from; number <= to; number += 1) numbers.add(number);
}

/** Numbers up to the last that was used, and that are not in the history. */
function holesOf({ recorded, seen, inGaps }: Boot): number[] {
  const last = Math.max(recorded?.lastSeq ?? 0, ...[seen, inGaps].map((numbers) => maxOf(numbers)));
  return Array.from({ length: last }, (_, index) => index + 1).filter((seq) => !seen.has(seq));
}

function maxOf(numbers: ReadonlySet<number>): number {
  let max = 0;
  for (const number of numbers) max = Math.max(max, number);
  return max;
}

function problemsOfBoot(boot: Boot): string[] {
  const { device, bootId, recorded, seen, inGaps, windows, events } = boot;
  const name = `${device} boot ${bootId.slice(0, 8)}`;
  const uncounted = holesOf(boot).filter((seq) => !inGaps.has(seq));
  const problems: string[] = [];
  if (uncounted.length > 0)
    problems.push(`${name}: lost and not counted: ${uncounted.slice(0, 10).join(' ')}`);
  if (windows + events !== seen.size)
    problems.push(`${name}: ${windows + events} rows, ${seen.size} committed numbers`);
  if (recorded === undefined) return problems;
  if (windows > recorded.windows || events > recorded.events)
    problems.push(
      `${name}: ${windows} windows and ${events} events stored, ${recorded.windows} and ${recorded.events} recorded`,
    );
  if (maxOf(seen) > recorded.lastSeq)
    problems.push(`${name}: has number ${maxOf(seen)}, recorded up to ${recorded.lastSeq}`);
  return problems;
}

/** Numbers that are in the history more than once. */
function repeatsOf(history: Sqlite): string[] {
  const count = history
    .prepare<[], number>(
      `SELECT count(*) FROM (SELECT 1 FROM (
         SELECT boot, seq FROM windows UNION ALL SELECT boot, seq FROM events WHERE boot IS NOT NULL
       ) GROUP BY boot, seq HAVING count(*) > 1)`,
    )
    .pluck()
    .get();
  return count === 0 ? [] : [`${count} records are stored more than once`];
}

function sumsOf(boots: readonly Boot[]) {
  return {
    boots: boots.length,
    storedWindows: sum(boots.map(({ windows }) => windows)),
    storedEvents: sum(boots.map(({ events }) => events)),
    lost: sum(boots.map((boot) => holesOf(boot).length)),
    countedLost: sum(boots.map(({ countedLost }) => countedLost)),
    lostYetStored: sum(boots.map(({ seen, inGaps }) => [...inGaps].filter((seq) => seen.has(seq)).length)),
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

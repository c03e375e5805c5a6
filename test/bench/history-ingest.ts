import { join } from 'node:path';
import { openHistoryDatabase } from '../../controller/history/thread/database.ts';
import { systemClock } from '../../shared/clock.ts';
import { invariant } from '../../shared/errors.ts';
import { openSqliteReadOnly } from '../../shared/sqlite.ts';
import { median } from '../../shared/statistics.ts';
import { temporaryFolder } from '../support/temp.ts';
import type { GeneratorTask } from './history-generator.ts';
import { type BenchProcess, startBenchProcess } from './history-processes.ts';
import { BENCH_FLEET, bodyText, simulateWindows, WINDOW_MS } from './history-windows.ts';
import { type Figure, judged } from './report.ts';

const PUBLISHERS = 100;
/** Of each publisher, in each run. */
const WINDOWS = 400;
const ALL_WINDOWS = PUBLISHERS * WINDOWS;
/** The three ways take turns: what else the machine does hits all alike. */
const ROUNDS = 3;
/** Windows in one transaction of the bare inserts: as many as the controller commits at once. */
const INSERT_BATCH = 2_000;
const BODIES = 500;

const RATIO_BAR = 0.8;
const BLOCKED_BAR_MS = 50;

interface Round {
  readonly ingestPerS: number;
  readonly blockedMs: number;
  readonly brokerPerS: number;
  readonly insertPerS: number;
}

/**
 * How fast windows get from publishers into the history, acknowledgements included, against what the broker
 * alone and the database alone can do.
 */
export async function ingestFigures(): Promise<Figure[]> {
  await using generator = startBenchProcess({ module: 'history-generator' });
  const ts = systemClock.now() - WINDOWS * WINDOW_MS;
  await generator.ask<'prepared', GeneratorTask>(
    { type: 'prepare', publishers: PUBLISHERS, windows: WINDOWS, ts },
    'prepared',
  );
  const rounds: Round[] = [];
  for (let count = 0; count < ROUNDS; count += 1) {
    const full = await fullRun(generator);
    const brokerPerS = await brokerRun(generator);
    rounds.push({ ...full, brokerPerS, insertPerS: await insertRun(ts) });
  }
  return figuresOf(rounds);
}

function figuresOf(rounds: readonly Round[]): Figure[] {
  const rate = (name: string, of: (round: Round) => number): Figure => ({
    name,
    value: median(rounds.map(of)),
    unit: '1/s',
    better: 'higher',
  });
  return [
    rate('ingest_per_s', ({ ingestPerS }) => ingestPerS),
    rate('limit_broker_per_s', ({ brokerPerS }) => brokerPerS),
    rate('limit_insert_per_s', ({ insertPerS }) => insertPerS),
    judged({
      name: 'ingest_ratio',
      value: median(
        rounds.map(({ ingestPerS, brokerPerS, insertPerS }) => ingestPerS / Math.min(brokerPerS, insertPerS)),
      ),
      unit: 'ratio',
      better: 'higher',
      bar: RATIO_BAR,
    }),
    judged({
      name: 'main_blocked_max_ms',
      value: Math.max(...rounds.map(({ blockedMs }) => blockedMs)),
      unit: 'ms',
      better: 'lower',
      bar: BLOCKED_BAR_MS,
    }),
  ];
}

/** The controller as it is: broker in its process, history in its threads. */
async function fullRun(generator: BenchProcess): Promise<Pick<Round, 'ingestPerS' | 'blockedMs'>> {
  await using folder = await temporaryFolder();
  const args = ['serve', '--state', folder.path, '--fleet', BENCH_FLEET, '--api-port', '0'];
  const measured = await withProgram([...args, '--broker-port', '0'], async (controller, url) => {
    // What came before the first window does not count.
    await controller.ask({ type: 'held' }, 'held');
    const ingestPerS = await runOf(generator, url);
    const { maxMs } = await controller.ask({ type: 'held' }, 'held');
    return { ingestPerS, blockedMs: maxMs };
  });
  checkStored(folder.path);
  return measured;
}

/** The same broker alone, and a subscriber in another process that keeps nothing. */
async function brokerRun(generator: BenchProcess): Promise<number> {
  return await withProgram(['broker', '--broker-port', '0'], async (_, url) => {
    await using subscriber = startBenchProcess({ module: 'history-subscriber', args: [url] });
    await subscriber.heard('listens');
    return await runOf(generator, url);
  });
}

/** Runs the controller's program while `work` needs it. */
async function withProgram<T>(
  args: readonly string[],
  work: (program: BenchProcess, url: string) => Promise<T>,
): Promise<T> {
  await using program = startBenchProcess({
    module: 'controller',
    args: [...args, '--log-level', 'error'],
    preload: 'history-probe',
  });
  const { mqttUrl } = await program.heard('ready');
  return await work(program, mqttUrl);
}

async function runOf(generator: BenchProcess, url: string): Promise<number> {
  const { perS } = await generator.ask<'ran', GeneratorTask>({ type: 'run', url }, 'ran');
  return perS;
}

/** What was acknowledged must be there. */
function checkStored(stateDir: string): void {
  const sqlite = openSqliteReadOnly(join(stateDir, 'history.db'));
  invariant(sqlite !== undefined, 'the controller left a history');
  try {
    const windows = sqlite.prepare<[], number>('SELECT count(*) FROM windows').pluck().get();
    invariant(windows === ALL_WINDOWS, `${ALL_WINDOWS} windows were acknowledged, ${windows} are stored`);
  } finally {
    sqlite.close();
  }
}

/** The same rows straight into the same tables, and nothing else. */
async function insertRun(ts: number): Promise<number> {
  await using folder = await temporaryFolder();
  const bodies = simulateWindows(BODIES, 1).map(({ body }) => bodyText(body));
  const sqlite = openHistoryDatabase(folder.path);
  try {
    const insert = sqlite.prepare('INSERT INTO windows VALUES (?, ?, ?, ?, ?, ?, ?)');
    const insertBatch = sqlite.transaction((from: number) => {
      for (let index = from; index < from + INSERT_BATCH; index += 1) {
        const device = (index % PUBLISHERS) + 1;
        const seq = Math.floor(index / PUBLISHERS) + 1;
        const at = ts + (seq - 0.5) * WINDOW_MS;
        insert.run(index + 1, device, seq, device, at, 0, bodies[index % BODIES]);
      }
    });
    const startMs = performance.now();
    for (let from = 0; from < ALL_WINDOWS; from += INSERT_BATCH) insertBatch.immediate(from);
    return (1_000 * ALL_WINDOWS) / (performance.now() - startMs);
  } finally {
    sqlite.close();
  }
}

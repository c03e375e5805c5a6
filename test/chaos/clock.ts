import { globSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TelemetryAnswerSchema } from '../../controller/api/history-schemas.ts';
import { systemClock } from '../../shared/clock.ts';
import { parserOf } from '../../shared/schema.ts';
import { openSqliteReadOnly } from '../../shared/sqlite.ts';
import { KillFleet } from '../support/kill-fleet.ts';
import { type Finding, findingOf, type Scenario, type Stage, unless } from './scenario.ts';

/** Debian's package `faketime`: it stands between a program and the clock. */
const [FAKETIME] = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1');
const PAST = '-10y';
const PRESENT = '+0';
/** A row may be dated so far from when it was, at most: what the link took to carry it. */
const SLACK_MS = 10_000;
const DOWN_MS = 2_000;

export const clockScenario: Scenario = {
  summary: "a device's clock jumps back by ten years and forth again: rows are dated as if it had not",
  run: clockJumps,
};

const parseAnswer = parserOf(TelemetryAnswerSchema);

async function clockJumps(stage: Stage): Promise<Finding> {
  if (FAKETIME === undefined) {
    return { figures: {}, problems: [], skipped: "Debian's package faketime is not installed" };
  }
  const dir = await mkdtemp(join(tmpdir(), 'ofa-clock-'));
  try {
    return await withClock(stage, FAKETIME, join(dir, 'clock'));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function withClock({ did }: Stage, library: string, clockFile: string): Promise<Finding> {
  const startedTs = systemClock.now();
  await writeFile(clockFile, PRESENT);
  const env = {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: clockFile,
    FAKETIME_NO_CACHE: '1',
    // What jumps is the wall clock.
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
  };
  await using fleet = await KillFleet.start({ agents: [{ device: 'jumps', env }, { device: 'stays' }] });
  await fleet.waitForTraffic();
  await writeFile(clockFile, PAST);
  await fleet.waitForTraffic();
  did('ten years back; then the agent is killed and starts in the past');
  await fleet.killAndRestart('jumps');
  await fleet.waitForTraffic();
  did('nobody listens while the clock comes back');
  await fleet.kill9('controller');
  await systemClock.sleep(DOWN_MS);
  await writeFile(clockFile, PRESENT);
  await systemClock.sleep(DOWN_MS);
  await fleet.start('controller');
  await fleet.waitForTraffic();
  const ofQuery = await problemsOfQuery(fleet, startedTs);
  await fleet.stopAll();
  const { misdated, redated } = datesOf(
    fleet.controllerDir,
    startedTs - SLACK_MS,
    systemClock.now() + SLACK_MS,
  );
  return findingOf(fleet, { misdated, redated }, [
    ...ofQuery,
    ...unless(misdated === 0, `${misdated} rows are dated before the start, or after the end`),
    ...unless(redated > 0, 'no row was dated by the controller: the clock did not jump'),
  ]);
}

/** A query of the last minutes must show what the device recorded in them. */
async function problemsOfQuery(fleet: KillFleet, since: number): Promise<string[]> {
  const recorded = (await fleet.agentState('jumps')).telemetry.windows;
  await fleet.waitForTraffic();
  await fleet.waitUntilSettled('jumps');
  const asked = new URLSearchParams({
    device: 'jumps',
    metric: 'windows',
    aggregate: 'sum',
    since: String(since),
  });
  const { series } = parseAnswer(await fleet.ask(`/v1/telemetry/query?${asked}`), 'answer to the query');
  const shown = series.flatMap(({ points }) => points).reduce((sum, { value }) => sum + (value ?? 0), 0);
  return unless(shown >= recorded, `the query shows ${shown} windows, the device had recorded ${recorded}`);
}

function datesOf(controllerDir: string, from: number, to: number) {
  const history = openSqliteReadOnly(join(controllerDir, 'history.db'));
  const count = (sql: string, ...values: number[]): number =>
    Number(
      history
        ?.prepare<number[], number>(sql)
        .pluck()
        .get(...values) ?? 0,
    );
  const windows = count('SELECT count(*) FROM windows WHERE at NOT BETWEEN ? AND ?', from, to);
  const events = count('SELECT count(*) FROM events WHERE ts NOT BETWEEN ? AND ?', from, to);
  const redated = count('SELECT count(*) FROM windows WHERE flags & 1');
  history?.close();
  return { misdated: windows + events, redated };
}

import { type Column, formatTime } from '../shared/cli/format.ts';
import type { OutputOptions } from '../shared/cli/output.ts';
import { createTerminal } from '../shared/cli/terminal.ts';
import { systemClock } from '../shared/clock.ts';
import { askStatus } from '../shared/control/client.ts';
import { AppError } from '../shared/errors.ts';
import { readFamily } from '../shared/family/read.ts';
import { onnxRuntimeVersion } from '../shared/onnx.ts';
import type { AgentConfig } from './config.ts';
import { configuredElements, contendersOf } from './profile/contender.ts';
import { openQuarantine, type Quarantine, type QuarantineEntry } from './quarantine/quarantine.ts';
import { openAgentDatabase, readAgentDatabase } from './store/database.ts';

const STATUS_TIMEOUT_MS = 5_000;

/** `--clear` without a level clears everything. */
export interface QuarantineFlags extends OutputOptions {
  readonly clear?: string | true;
}

interface Entry {
  /** `cpu/3`, or undefined for a model that is not of the configured family. */
  readonly point: string | undefined;
  readonly entry: QuarantineEntry;
}

/**
 * Shows the models that an agent must not run, or lets them run again. The agent must not run meanwhile: it
 * reads the quarantine when it starts.
 * @throws AppError `conflict` while the agent runs, `not-found` when none ever ran there or there is no such level
 */
export async function runQuarantine(config: AgentConfig, { clear, output }: QuarantineFlags): Promise<void> {
  const { dir } = config.state;
  await checkStopped(dir);
  const database = openAgentDatabase(dir);
  try {
    const quarantine = openQuarantine({
      database,
      now: systemClock.now,
      runtime: onnxRuntimeVersion(),
    });
    const entries = await named(quarantine.list(), config);
    const cleared = clear === undefined ? undefined : clearOf(quarantine, entries, clear);
    print(cleared ?? entries, cleared === undefined ? undefined : 'may run again', output);
  } finally {
    database.close();
  }
}

async function checkStopped(dir: string): Promise<void> {
  if ((await askStatus(dir, STATUS_TIMEOUT_MS)) !== undefined) {
    throw new AppError(
      'conflict',
      `${dir}: its agent runs; stop it first (its status shows what is in quarantine)`,
    );
  }
  const database = readAgentDatabase(dir);
  if (database === undefined) {
    throw new AppError('not-found', `${dir}: no agent has run there; name its folder with --state`);
  }
  database.close();
}

/** Entries with the names that the configured family gives them. */
async function named(
  entries: readonly QuarantineEntry[],
  { family, engine }: AgentConfig,
): Promise<readonly Entry[]> {
  // What is not there names nothing; the entries are shown all the same.
  const known = await readFamily(family.dir).catch(() => undefined);
  const contenders = known === undefined ? [] : contendersOf(known, configuredElements(engine));
  return entries.map((entry) => {
    const found = contenders.find(
      ({ sha256, providers }) => sha256 === entry.sha256 && providers.join() === entry.providers.join(),
    );
    return { point: found === undefined ? undefined : `${found.pe}/${found.level}`, entry };
  });
}

/** @returns what was let out */
function clearOf(quarantine: Quarantine, entries: readonly Entry[], which: string | true): readonly Entry[] {
  const chosen = which === true ? entries : entries.filter(({ point }) => point === which);
  if (which !== true && chosen.length === 0) {
    throw new AppError(
      'not-found',
      `${which}: there is no such level in quarantine; write for example cpu/3`,
    );
  }
  if (which === true) quarantine.clear();
  for (const { entry } of chosen) quarantine.clear(entry);
  return chosen;
}

const COLUMNS: readonly Column<Entry>[] = [
  { head: 'POINT', value: ({ point }) => point, text: ({ point }) => point ?? 'of another family' },
  { head: 'SINCE', value: ({ entry }) => formatTime(entry.sinceTs) },
  { head: 'MODEL', value: ({ entry }) => entry.sha256, text: ({ entry }) => entry.sha256.slice(0, 12) },
  { head: 'REASON', value: ({ entry }) => entry.reason },
];

function print(rows: readonly Entry[], note: string | undefined, output: OutputOptions['output']): void {
  const terminal = createTerminal(process.env);
  if (note !== undefined) terminal.note(`${rows.length} in quarantine: ${note}`);
  const json = rows.map(({ point, entry }) => ({ point: point ?? null, ...entry }));
  terminal.print({ rows, columns: COLUMNS, json }, output);
}

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import Type, { type Static } from 'typebox';
import { AppError, describeError } from '../../shared/errors.ts';
import { readWhole, writeAtomic } from '../../shared/files.ts';
import { type Parser, parseJson, parserOf } from '../../shared/schema.ts';
import { SlotSchema } from './messages.ts';
import { programsFolder } from './places.ts';

const MAX_BYTES = 64 * 1024;
const CountSchema = Type.Integer({ minimum: 0 });

/** A program that has to prove itself. */
const TrialSchema = Type.Object({
  slot: SlotSchema,
  soakMs: Type.Number({ minimum: 0 }),
  readyMs: Type.Number({ minimum: 0 }),
  /** Starts that did not end as the launcher wanted; one that is under way counts from its beginning. */
  starts: CountSchema,
  /** Schema of the database when it was put aside, before the first start; -1: there was no database. */
  schema: Type.Optional(Type.Integer({ minimum: -1 })),
  /** It is over: what is left to do is to go back. */
  failed: Type.Optional(
    Type.Object({
      reason: Type.String(),
      /** Whether the database is put back; decided once, before anything is changed. */
      restore: Type.Optional(Type.Boolean()),
    }),
  ),
});

/** What a launcher remembers; it alone writes it. */
export const LaunchStateSchema = Type.Object({
  format: Type.Literal(1),
  /** What identifies the program installed by hand. */
  base: Type.String(),
  /** The program that was committed last. */
  current: SlotSchema,
  /** The one before it. */
  previous: SlotSchema,
  /** Starts in a row, of committed programs, that ended before the agent was ready. */
  failures: CountSchema,
  trial: Type.Optional(TrialSchema),
  /** A program that was given up, and why; until the agent has read it. */
  verdict: Type.Optional(Type.Object({ slot: SlotSchema, reason: Type.String() })),
});
export type LaunchState = Static<typeof LaunchStateSchema>;
export type Trial = Static<typeof TrialSchema>;

let parser: Parser<LaunchState> | undefined;

function pathOf(stateDir: string): string {
  return join(programsFolder(stateDir), 'state.json');
}

/**
 * Reads what the launcher of a state folder remembers.
 * @returns undefined when no launcher has run there
 * @throws AppError `invalid` when it cannot be understood, `system` when it cannot be read
 */
export async function readLaunchState(stateDir: string): Promise<LaunchState | undefined> {
  const path = pathOf(stateDir);
  parser ??= parserOf(LaunchStateSchema);
  try {
    return parseJson(Buffer.from(await readWhole(path, MAX_BYTES)).toString(), parser, path);
  } catch (error) {
    if (error instanceof AppError && error.code === 'not-found') return undefined;
    throw error;
  }
}

/**
 * Stores what the launcher remembers, durably.
 * @throws AppError `system` when the disk refuses
 */
export async function writeLaunchState(stateDir: string, state: LaunchState): Promise<void> {
  const path = pathOf(stateDir);
  try {
    await mkdir(programsFolder(stateDir), { recursive: true });
    await writeAtomic(path, `${JSON.stringify(state)}\n`);
  } catch (cause) {
    throw new AppError('system', `${path}: ${describeError(cause)}`, { cause });
  }
}

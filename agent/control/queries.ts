import type { TSchema } from 'typebox';
import { type Column, formatMs, formatTime, type OutputFormat } from '../../shared/cli/format.ts';
import { createTerminal } from '../../shared/cli/terminal.ts';
import { printTold } from '../../shared/cli/told.ts';
import { askControl } from '../../shared/control/client.ts';
import {
  ExplainAnswerSchema,
  type InferencesAnswer,
  InferencesAnswerSchema,
  ProfileAnswerSchema,
} from '../../shared/control/protocol.ts';
import { AppError } from '../../shared/errors.ts';
import type { ProfileAction } from '../../shared/protocol/command.ts';
import { parserOf } from '../../shared/schema.ts';

const TIMEOUT_MS = 30_000;

/** What is asked; times are milliseconds since the epoch. */
export interface Question {
  readonly at?: number;
  readonly since?: number;
  readonly limit?: number;
}

type Request = Parameters<typeof askControl>[1];

async function ask<S extends TSchema>(stateDir: string, request: Request, schema: S) {
  const answer = await askControl(stateDir, request, TIMEOUT_MS);
  if (answer !== undefined) return parserOf(schema)(answer, `answer to ${request.kind}`);
  throw new AppError(
    'not-found',
    `${stateDir}: no agent runs there, and only one that runs can be asked; name its folder with --state`,
  );
}

/** Prints decisions of the agent of a state folder. @throws AppError `not-found` when none runs there */
export async function printExplanation(
  stateDir: string,
  question: Question,
  output: OutputFormat,
): Promise<void> {
  const { lines, explanation } = await ask(stateDir, { kind: 'explain', ...question }, ExplainAnswerSchema);
  printTold(createTerminal(process.env), { lines, json: explanation }, output);
}

type Inference = InferencesAnswer['inferences'][number];

const INFERENCE_COLUMNS: readonly Column<Inference>[] = [
  { head: 'TIME', value: ({ ts }) => formatTime(ts) },
  { head: 'MONO-MS', value: ({ monoMs }) => monoMs, align: 'right' },
  { head: 'POINT', value: ({ pe, level }) => `${pe}/${level}` },
  {
    head: 'LATENCY',
    value: ({ latencyMs }) => latencyMs,
    text: ({ latencyMs }) => formatMs(latencyMs),
    align: 'right',
  },
  {
    head: 'BUDGET',
    value: ({ budgetMs }) => budgetMs,
    text: ({ budgetMs }) => formatMs(budgetMs),
    align: 'right',
  },
  { head: 'MISSED', value: ({ missed }) => missed, text: ({ missed }) => (missed ? 'missed' : '') },
];

/** Prints the inferences that the agent of a state folder still knows, oldest first. */
export async function printInferences(
  stateDir: string,
  { since, limit }: Question,
  output: OutputFormat,
): Promise<void> {
  const request = {
    kind: 'inferences',
    ...(since !== undefined && { since }),
    ...(limit !== undefined && { limit }),
  } as const;
  const answer = await ask(stateDir, request, InferencesAnswerSchema);
  const terminal = createTerminal(process.env);
  terminal.print({ rows: answer.inferences, columns: INFERENCE_COLUMNS, json: answer }, output);
}

/** Prints the profile of the agent of a state folder, or has it measured anew. */
export async function printProfile(
  stateDir: string,
  action: ProfileAction,
  output: OutputFormat,
): Promise<void> {
  const { lines, data } = await ask(stateDir, { kind: 'profile', action }, ProfileAnswerSchema);
  printTold(createTerminal(process.env), { lines, json: data }, output);
}

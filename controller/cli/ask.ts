import { printable } from '../../shared/cli/format.ts';
import { AppError, type ErrorCode } from '../../shared/errors.ts';
import type { CommandResult } from '../../shared/protocol/command.ts';
import type { CommandResponse } from '../api/schemas.ts';
import type { Api } from './api.ts';

export type Request = Parameters<Api['command']>[1];

const FAILURES = {
  failed: { code: 'system', text: 'the agent could not do it' },
  expired: { code: 'timeout', text: 'the agent got it too late to carry it out' },
  'unknown-kind': { code: 'invalid', text: 'the agent does not know this command; update it' },
} as const satisfies Record<Exclude<CommandResult['state'], 'done'>, { code: ErrorCode; text: string }>;

/**
 * Sends a command to a device and waits for its answer.
 * @throws AppError also when the agent answers that it did not do it
 */
export async function ask(api: Api, id: string, request: Request): Promise<CommandResponse> {
  const response = await api.command(id, request);
  const { state, reason } = response.result;
  if (state === 'done') return response;
  const { code, text } = FAILURES[state];
  throw new AppError(
    code,
    `${request.kind}: ${text}${reason === undefined ? '' : ` (${printable(reason)})`}`,
  );
}

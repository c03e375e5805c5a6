import type { FastifyReply } from 'fastify';
import { AppError, type ErrorCode, httpStatusOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';

interface Refusal {
  readonly status: number;
  readonly code: ErrorCode;
  readonly message: string;
}

/** Statuses of the HTTP library's own refusals that are no fault of ours. */
function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined;
  const { statusCode } = error;
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500 ? statusCode : undefined;
}

/** The only place where errors become HTTP answers. What is unexpected is logged, and its insides stay here. */
export function refusalOf(error: unknown, log: Logger): Refusal {
  if (error instanceof AppError) {
    const status = httpStatusOf(error.code);
    if (status === 500) log.error({ err: error }, 'a request failed');
    return { status, code: error.code, message: error.message };
  }
  const status = statusOf(error);
  if (status !== undefined && error instanceof Error) {
    return { status, code: status === 429 ? 'unreachable' : 'usage', message: error.message };
  }
  log.error({ err: error }, 'a request failed');
  return { status: 500, code: 'system', message: 'the controller failed to answer; its log says why' };
}

/** Answers a request with a refusal. */
export async function sendRefusal(reply: FastifyReply, { status, code, message }: Refusal): Promise<void> {
  await reply.code(status).send({ error: { code, message } });
}

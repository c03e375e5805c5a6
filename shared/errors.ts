/**
 * Every expected failure of the three programs is an `AppError` whose code says what the caller does next.
 * Exit codes and HTTP statuses stand in this one table; text for people is made from it at the edge only.
 */
const ERROR_TABLE = {
  /** The words of a command are wrong: the caller corrects the command. */
  usage: { exitCode: 2, httpStatus: 400 },
  /** A configuration file, environment variable or stored file is wrong: its owner corrects it. */
  config: { exitCode: 1, httpStatus: 500 },
  /** Data that came in does not fit its schema: the sender corrects it. */
  invalid: { exitCode: 1, httpStatus: 400 },
  /** The thing that was named does not exist. */
  'not-found': { exitCode: 3, httpStatus: 404 },
  /** Something else already has the place (a port, a folder, a name). */
  conflict: { exitCode: 1, httpStatus: 409 },
  /** No answer within the time that was given. */
  timeout: { exitCode: 5, httpStatus: 504 },
  /** Part of what was asked was done, part was not. */
  partial: { exitCode: 6, httpStatus: 207 },
  /** The controller or the broker does not answer. */
  unreachable: { exitCode: 7, httpStatus: 503 },
  /** The token is missing or wrong. */
  unauthorized: { exitCode: 7, httpStatus: 401 },
  /** What was waited for was ended before it was done: a rollout was aborted. */
  aborted: { exitCode: 4, httpStatus: 409 },
  /** The machine failed us: disk full, permission, native library. */
  system: { exitCode: 1, httpStatus: 500 },
} as const satisfies Record<string, { exitCode: number; httpStatus: number }>;

export type ErrorCode = keyof typeof ERROR_TABLE;

/** An expected failure. `message` names what, where, and what to do about it, in one line. */
export class AppError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'AppError';
    this.code = code;
  }
}

/** Exit status of a program that ends because of `error`; 1 for anything that is not an `AppError`. */
export function exitCodeOf(error: unknown): number {
  return error instanceof AppError ? ERROR_TABLE[error.code].exitCode : 1;
}

/** HTTP status that answers a request which failed with `code`. */
export function httpStatusOf(code: ErrorCode): number {
  return ERROR_TABLE[code].httpStatus;
}

/** Whether `value` is one of the codes of the error table (used where an answer of the API is read back). */
export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERROR_TABLE, value);
}

/** One line of text for people: the message, and the innermost cause where that says more. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.message.split('\n', 1)[0] ?? '';
  const cause = error.cause instanceof Error ? describeError(error.cause) : '';
  return cause !== '' && !own.includes(cause) ? `${own} (${cause})` : own;
}

/** Turns whatever was thrown into an `Error`, keeping the original as the cause. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}

/** Throws if something that the code guarantees does not hold: a fault of ours, never of the input. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${message}`);
}

/** Whether `error` is an error of the operating system with this code, for example `ENOENT`. */
export function isSystemError(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

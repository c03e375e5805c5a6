import { env, InferenceSession, listSupportedBackends, Tensor } from 'onnxruntime-node';
import { AppError } from './errors.ts';
import type { ProcessingElement } from './protocol/window.ts';

/** The one import of ONNX Runtime. Everything else speaks to these names. */
export type Session = InferenceSession;
export type SessionOptions = InferenceSession.SessionOptions;
export { Tensor };

/** Version of the ONNX Runtime library. */
export function onnxRuntimeVersion(): string {
  return env.versions.node ?? env.versions.common;
}

/**
 * Execution providers of a processing element, in the order of preference. One that the library does not
 * have throws at creation, even when another stands behind it.
 */
export const PROVIDERS: Readonly<Record<ProcessingElement, readonly string[]>> = {
  cpu: ['cpu'],
  gpu: ['cuda', 'cpu'],
};

/**
 * What the library logs goes to stderr past the program's log, and an error is thrown as well, with the same
 * words.
 */
const LOG_FATAL_ONLY = 4;

/**
 * Options of a session that serves.
 * @param providers in the order of preference
 * @param threads intra-op threads
 */
export function servingOptions(providers: readonly string[], threads: number): SessionOptions {
  return {
    executionProviders: [...providers],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    logSeverityLevel: LOG_FATAL_ONLY,
    ...(threads > 1 ? { extra: { session: SPINNING_STOPS } } : {}),
  };
}

/** The threads of one session would go on spinning after its run, against those of the next one. */
const SPINNING_STOPS = { force_spinning_stop: '1' };

/**
 * Options under which a session writes its graph, optimised for this machine's CPU by this version of the
 * library, to a file. Nothing else may run such a file.
 */
export function savingOptions(path: string): SessionOptions {
  return { ...servingOptions(['cpu'], 1), optimizedModelFilePath: path };
}

/**
 * Options of a session that serves an optimised graph as it stands.
 * @param threads intra-op threads
 * @param inPlace whether the weights are used where they lie, in a mapped file, and never copied into
 * another order. Convolutions of 8-bit integers are then two to three times slower.
 */
export function leanOptions(threads: number, { inPlace }: { readonly inPlace: boolean }): SessionOptions {
  const session = {
    ...(threads > 1 ? SPINNING_STOPS : {}),
    ...(inPlace ? { disable_prepacking: '1' } : {}),
  };
  return {
    ...servingOptions(['cpu'], threads),
    graphOptimizationLevel: 'disabled',
    // An arena keeps the most that its session ever used; the allocator's heap serves all sessions in turn.
    enableCpuMemArena: false,
    extra: { session },
  };
}

/** The library leaves out a provider that its build does not know, and goes on with the next one. */
function refuseUnknown({ executionProviders = [] }: SessionOptions): void {
  const known = listSupportedBackends().map(({ name }) => name);
  const unknown = executionProviders.find((provider) => !known.some((name) => name === provider));
  if (unknown === undefined) return;
  const list = known.join(', ');
  throw new AppError('system', `ONNX Runtime has no provider "${String(unknown)}" here, only ${list}`);
}

/**
 * Creates a session from a model file. It blocks the calling thread for tens of milliseconds, as a run does:
 * call it where that does no harm.
 * @throws AppError `system` for a provider that this build of the library does not know; what the library
 * throws
 */
export async function createSession(path: string, options: SessionOptions): Promise<Session> {
  refuseUnknown(options);
  return await InferenceSession.create(path, options);
}

/**
 * Creates a session from a model's bytes, which the library copies. Blocks as `createSession` does.
 * @throws as `createSession`
 */
export async function createSessionFromBytes(model: Uint8Array, options: SessionOptions): Promise<Session> {
  refuseUnknown(options);
  return await InferenceSession.create(model, options);
}

import { env, InferenceSession, Tensor } from 'onnxruntime-node';
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
    // The threads of one session would go on spinning after its run, against those of the next one.
    ...(threads > 1 ? { extra: { session: { force_spinning_stop: '1' } } } : {}),
  };
}

/**
 * Creates a session from a model file. It blocks the calling thread for tens of milliseconds, as a run does:
 * call it where that does no harm.
 */
export async function createSession(path: string, options: SessionOptions): Promise<Session> {
  return await InferenceSession.create(path, options);
}

/** Creates a session from a model's bytes, which the library copies. Blocks as `createSession` does. */
export async function createSessionFromBytes(model: Uint8Array, options: SessionOptions): Promise<Session> {
  return await InferenceSession.create(model, options);
}

import { env, InferenceSession, Tensor } from 'onnxruntime-node';

/** The one import of ONNX Runtime. Everything else speaks to these names. */
export type Session = InferenceSession;
export type SessionOptions = InferenceSession.SessionOptions;
export { Tensor };

/** Version of the ONNX Runtime library. */
export function onnxRuntimeVersion(): string {
  return env.versions.node ?? env.versions.common;
}

/**
 * Creates a session from a model file. It blocks the calling thread for tens of milliseconds, as a run does:
 * call it where that does no harm.
 */
export async function createSession(path: string, options: SessionOptions): Promise<Session> {
  return await InferenceSession.create(path, options);
}

import { type Clock, systemClock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import { runInChild } from './child.ts';
import type { ExecutionProvider } from './protocol.ts';

/** How people name a processing element: the word `gpu` is CUDA's. */
export const PROVIDER_WORDS = ['cpu', 'cuda', 'gpu', 'tensorrt'] as const;

/** The library of a graphics processor may take long to load; TensorRT's builder longer. */
const SILENCE_MS = 120_000;

/**
 * A processing element as people name it.
 * @throws AppError `usage`
 */
export function parseProvider(text: string, what: string): ExecutionProvider {
  const word = PROVIDER_WORDS.find((each) => each === text);
  if (word !== undefined) return word === 'gpu' ? 'cuda' : word;
  throw new AppError('usage', `${what}: '${text}' is not one of ${PROVIDER_WORDS.join(', ')}`);
}

/**
 * Processing elements written `cpu,cuda`: each once, in their order.
 * @throws AppError `usage`
 */
export function parseProviders(text: string, what: string): ExecutionProvider[] {
  return [...new Set(text.split(',').map((part) => parseProvider(part.trim(), what)))];
}

/**
 * Finds out whether ONNX Runtime has a processing element here, with a tiny model in a process of its own:
 * to be asked before long work. The CPU is always there.
 * @throws AppError `config` with the reason when it is not there; the signal's reason when it aborts
 */
export async function checkProvider(
  pe: ExecutionProvider,
  { clock = systemClock, signal }: { readonly clock?: Clock; readonly signal?: AbortSignal } = {},
): Promise<void> {
  if (pe === 'cpu') return;
  const task = { kind: 'provider', pe } as const;
  const options = { clock, silenceMs: SILENCE_MS, ...(signal === undefined ? {} : { signal }) };
  const outcome = await runInChild(task, options);
  if (outcome.kind === 'present') return;
  const reason = 'message' in outcome ? outcome.message : 'its process answered another question';
  throw new AppError('config', `${pe} is not available here: ${reason}`);
}

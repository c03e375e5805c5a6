import type { EngineOptions } from '../../agent/engine/engine.ts';
import { systemClock } from '../../shared/clock.ts';
import type { AppError } from '../../shared/errors.ts';

/** A frame of the bundled family. */
export const FRAME = new Uint8Array(28 * 28).fill(100);

/** What an engine of its shapes is started with, beside its points. */
export const ENGINE_BASE = {
  input: { name: 'image', shape: [1, 28, 28, 1] },
  output: { name: 'logits', shape: [1, 10] },
  runTimeoutMs: 30_000,
  clock: systemClock,
  onFatal: (error: AppError) => {
    throw error;
  },
} satisfies Partial<EngineOptions>;

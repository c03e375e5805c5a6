import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import { type ModelProfile, type ProfileReport, profileModels } from '../profile/profile.ts';
import type { ExecutionProvider } from '../profile/protocol.ts';

export interface ProfileSettings {
  readonly pe: ExecutionProvider;
  readonly rounds: number;
  readonly threads: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number, text: string) => void;
}

/** What models cost on one processing element, in their order, and the machine that says so. */
export interface Costs {
  readonly report: ProfileReport;
  readonly profiles: readonly ModelProfile[];
}

/**
 * Measures models, all in turn.
 * @param models each gives a model's bytes, which are not kept
 * @throws AppError `config` when the processing element is not there, and as `profileModels`
 */
export async function costsOf(
  models: readonly (() => Uint8Array)[],
  settings: ProfileSettings,
): Promise<Costs> {
  const folder = await mkdtemp(join(tmpdir(), 'ofa-models-'));
  try {
    const named = models.map((_, index) => ({
      name: `model ${index}`,
      path: join(folder, `${index}.onnx`),
      pe: settings.pe,
    }));
    for (const [index, bytesOf] of models.entries()) {
      await writeFile(join(folder, `${index}.onnx`), bytesOf());
    }
    const report = await profileModels({ ...settings, models: named });
    const profiles = report.profiles.map((profile) => {
      if (profile.available) return profile;
      throw new AppError('config', `${profile.pe} cannot be measured here: ${profile.reason}`);
    });
    return { report, profiles };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What a latency was measured on, in one line. */
export function describeHost({ host, threads, profiles }: ProfileReport): string {
  const { cpuModel, cores, platform, onnxRuntime, board, powerMode } = host;
  const machine = [board, powerMode, cpuModel, `${cores} cores`, platform].filter(
    (part) => part !== undefined,
  );
  const pe = profiles[0]?.pe ?? 'cpu';
  return `median of one inference on ${pe}, ${threads} thread(s): ${machine.join(', ')}; ONNX Runtime ${onnxRuntime}`;
}

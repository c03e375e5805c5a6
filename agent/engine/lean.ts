import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, describeError } from '../../shared/errors.ts';
import { sha256 } from '../../shared/files.ts';
import { NativeChild } from '../../shared/native-child.ts';
import { onnxRuntimeVersion } from '../../shared/onnx.ts';
import { siblingModule } from '../../shared/package.ts';
import { type ChildBound, untilGone } from './bounded-child.ts';
import { LEAN_FORMAT, type LeanContents, readLean } from './lean-cache.ts';
import { machineIdentity } from './machine.ts';

/** A portable model. */
export interface LeanModel {
  readonly modelPath: string;
  /** SHA-256 of its file, which the caller has checked. */
  readonly sha256: string;
}

export interface LeanOptions extends ChildBound {
  readonly models: readonly LeanModel[];
  /** For lean models alone: whatever else lies in it is removed. */
  readonly folder: string;
  /** Told of what was made before and can be used no more; it is made again. */
  readonly onDamaged?: (error: AppError) => void;
}

/** What the child is to do. */
export interface LeanTask {
  readonly folder: string;
  readonly models: readonly LeanModel[];
}

/** What the child says: which model it turns to, and how it ended. */
export type FromLeanMaker =
  | { readonly kind: 'turning-to'; readonly model: number }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'made' };

/**
 * Makes the lean form of models: graphs optimised for this machine's CPU, the weights of all of them each
 * stored once, in one file that is mapped and used where it lies. Less than half of the memory, and loaded
 * in a tenth of the time. Made once in a process of its own, kept by machine, version of ONNX Runtime and
 * models, and checked whole at every later start.
 * @returns the lean file of each portable one; a model whose lean form is slower or not right has none
 * @throws AppError `system` when they cannot be made (the portable models serve as well); the signal's
 * reason when it aborts
 */
export async function prepareLean(options: LeanOptions): Promise<ReadonlyMap<string, string>> {
  const { folder, models, signal } = options;
  signal?.throwIfAborted();
  const key = await keyOf(models);
  const home = join(folder, key);
  const contents = (await reusable(home, options)) ?? (await make(home, options));
  await prune(folder, key);
  const files = new Map(contents.models.map((model) => [model.sha256, model.file]));
  const entries = models.flatMap(({ modelPath, sha256: hash }): [string, string][] => {
    const file = files.get(hash) ?? null;
    return file === null ? [] : [[modelPath, join(home, file)]];
  });
  return new Map(entries);
}

async function keyOf(models: readonly LeanModel[]): Promise<string> {
  const parts = {
    format: LEAN_FORMAT,
    machine: await machineIdentity(),
    library: onnxRuntimeVersion(),
    provider: 'cpu',
    models: hashesOf(models),
  };
  return sha256(JSON.stringify(parts));
}

function hashesOf(models: readonly LeanModel[]): string[] {
  return [...new Set(models.map((model) => model.sha256))].sort();
}

/** What was made before, if all of it is there and whole. */
async function reusable(home: string, { models, onDamaged }: LeanOptions): Promise<LeanContents | undefined> {
  try {
    const contents = await readLean(home);
    if (contents === undefined) return undefined;
    const known = new Set(contents.models.map((model) => model.sha256));
    const missing = hashesOf(models).find((hash) => !known.has(hash));
    if (missing === undefined) return contents;
    throw new AppError('invalid', `${home}: nothing is said of the model ${missing}: it is damaged`);
  } catch (cause) {
    const error =
      cause instanceof AppError
        ? cause
        : new AppError('invalid', `${home}: ${describeError(cause)}`, { cause });
    onDamaged?.(error);
    return undefined;
  }
}

async function make(home: string, options: LeanOptions): Promise<LeanContents> {
  const staging = join(options.folder, `staging-${randomUUID()}`);
  try {
    await mkdir(staging, { recursive: true });
    await runMaker({ folder: staging, models: await largestFirst(options.models) }, options);
    const contents = await readLean(staging);
    if (contents === undefined) throw new AppError('system', `${staging}: nothing was made`);
    await moveTo(home, staging);
    return contents;
  } catch (cause) {
    await rm(staging, { recursive: true, force: true });
    options.signal?.throwIfAborted();
    throw new AppError('system', `lean models in ${options.folder}: ${describeError(cause)}`, { cause });
  }
}

/** Each once. Smaller networks' weights are often the beginning of larger ones'. */
async function largestFirst(models: readonly LeanModel[]): Promise<LeanModel[]> {
  const unique = [...new Map(models.map((model) => [model.sha256, model])).values()];
  const sized = await Promise.all(
    unique.map(async ({ modelPath, sha256: hash }) => ({
      model: { modelPath, sha256: hash },
      bytes: (await stat(modelPath)).size,
    })),
  );
  return sized.toSorted((a, b) => b.bytes - a.bytes).map(({ model }) => model);
}

async function runMaker(task: LeanTask, bound: ChildBound): Promise<void> {
  const seen: { model?: LeanModel | undefined; verdict?: Exclude<FromLeanMaker, { kind: 'turning-to' }> } =
    {};
  const child = new NativeChild<FromLeanMaker>({
    module: siblingModule(import.meta.url, 'lean-child'),
    task,
    onMessage: (message) => {
      if (message.kind === 'turning-to') seen.model = task.models[message.model];
      else seen.verdict = message;
    },
  });
  await untilGone(child, bound);
  const { model, verdict } = seen;
  if (verdict?.kind === 'made') return;
  const what = model?.modelPath ?? 'the models';
  throw new AppError('system', `${what}: ${verdict?.message ?? child.lastWords()}`);
}

/** What is there is damaged, but perhaps mapped: it is moved aside, not overwritten. */
async function moveTo(home: string, staging: string): Promise<void> {
  await rename(home, `${home}-${randomUUID()}`).catch(() => undefined);
  await rename(staging, home);
}

/**
 * Removes what other families, versions and interrupted attempts left. A file that is mapped stays so. What an
 * attempt that is just ending still holds is left to the next start.
 */
async function prune(folder: string, key: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name === key) continue;
    await rm(join(folder, name), { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
  }
}

import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import { type Family, modelPath } from '../../shared/family/read.ts';
import type { ProcessingElement } from '../../shared/protocol/window.ts';

/** A processing element, and the ways in which it can run a session. */
export interface ElementOptions {
  readonly pe: ProcessingElement;
  /** Execution providers in the order of preference. */
  readonly providers: readonly string[];
  /** Numbers of intra-op threads to choose from, at least one. */
  readonly threads: readonly number[];
}

/** A level's model on a processing element, before its threads are chosen. */
export interface Contender extends ElementOptions {
  readonly level: number;
  /** SHA-256 of the model's file. */
  readonly sha256: string;
  readonly modelPath: string;
  /** The same model, optimised on this device. */
  readonly leanPath?: string;
}

/** What a configuration says of elements. */
export interface ConfiguredElements {
  readonly elements: readonly ProcessingElement[];
  /** Of one inference; null to choose by measurement. */
  readonly threads: number | null;
  /** To choose from on the CPU; without them `threads`, and without that one and all cores. */
  readonly cpuThreads: readonly number[] | null;
  readonly gpuProviders: readonly string[];
}

/**
 * The elements of a configuration, in its order.
 * @param cores that this process may use
 */
export function configuredElements(
  config: ConfiguredElements,
  cores = availableParallelism(),
): ElementOptions[] {
  const { elements, threads, cpuThreads, gpuProviders } = config;
  // One leaves the other cores alone; more than there are only wait for each other.
  const toChooseFrom = threads === null ? [...new Set([1, cores])] : [threads];
  return elements.map((pe) =>
    pe === 'cpu'
      ? { pe, providers: ['cpu'], threads: cpuThreads ?? toChooseFrom }
      : // The CPU's part of it is small.
        { pe, providers: gpuProviders, threads: [threads ?? 1] },
  );
}

/** Every level of a family on every element, in the family's order, one element after the other. */
export function contendersOf({ manifest, folder }: Family, elements: readonly ElementOptions[]): Contender[] {
  return elements.flatMap(({ pe, providers, threads }) =>
    manifest.levels.map((level, index) => ({
      pe,
      providers,
      threads: [...new Set(threads)].sort((a, b) => a - b),
      level: index,
      sha256: level.model.sha256,
      modelPath: modelPath(folder, level),
    })),
  );
}

/** Name of the file that is run instead of the portable model, where there is one. */
export function leanFileOf({ leanPath }: Pick<Contender, 'leanPath'>): { readonly leanFile?: string } {
  return leanPath === undefined ? {} : { leanFile: basename(leanPath) };
}

/** A contender with one of its numbers of threads: what an engine holds ready. */
export interface ChosenPoint extends Omit<Contender, 'threads'> {
  readonly threads: number;
}

/** A contender once for each number of threads that it may have, in order. */
export function waysToRun(contender: Contender): ChosenPoint[] {
  return contender.threads.map((threads) => ({ ...contender, threads }));
}

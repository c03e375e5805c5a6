import { readFile } from 'node:fs/promises';
import { readCheckpoint } from '../../models/checkpoint/read.ts';
import { type Backbone, backboneOf } from '../../models/ofa/backbone.ts';
import { referencePath } from './reference.ts';

/** What the real OFA code gave for one architecture. */
export interface ReferenceArchitecture {
  readonly name: string;
  readonly arch: { ks: number[]; e: number[]; d: number[]; r: number };
  readonly input: { shape: number[]; phase: number };
  readonly logits: number[];
  readonly params: number;
  readonly mflops: number;
  readonly subnet_tensors?: Record<string, { shape: number[]; sum: number; abs_sum: number }>;
  readonly calibration?: {
    readonly batches: { shape: number[]; phase: number }[];
    readonly bn: Record<string, { mean: number[]; var: number[] }>;
    readonly logits: number[];
  };
}

/** What the real OFA code gave for one sub-network of the Fashion-MNIST backbone. */
export interface ReferenceSubNetwork {
  readonly name: string;
  readonly arch: { ks: number[]; e: number[]; d: number[]; r: number };
  readonly top1: number;
  readonly test_predictions: string;
  readonly logits_first4: number[][];
}

/** Reads a file of the reference data. */
export async function referenceJson<T>(...parts: readonly string[]): Promise<T> {
  return JSON.parse(await readFile(referencePath(...parts), 'utf8'));
}

/** Reads a backbone of the reference data. */
export async function referenceBackbone(...parts: readonly string[]): Promise<Backbone> {
  const path = referencePath(...parts);
  return backboneOf(await readCheckpoint(path), { what: path });
}

import { argmax, confidenceOf } from '../../shared/logits.ts';
import { standardErrorOf, wilson } from '../../shared/proportion.ts';

/** Predicted classes, in the narrowest array that holds them. */
export type Predictions = Uint8Array | Uint16Array | Uint32Array;

export interface ClassAccuracy {
  readonly label: string;
  readonly count: number;
  /** 0..1; null when the class has no image. */
  readonly accuracy: number | null;
}

/** How well a model classifies a data set. */
export interface Evaluation {
  readonly count: number;
  readonly correct: number;
  /** Top-1, 0..1. */
  readonly accuracy: number;
  /** Share of images whose class is among the five most likely, where there are more than five. */
  readonly top5?: number;
  /** Binomial standard error of `accuracy`. */
  readonly standardError: number;
  /** Wilson interval of `accuracy`, 95 %. */
  readonly interval95: readonly [low: number, high: number];
  /** Softmax probability of the predicted class, averaged over the images with finite logits; 0 of none. */
  readonly meanConfidence: number;
  /** By image; the number of classes stands for images whose logits are not finite. */
  readonly predictions: Predictions;
  readonly perClass: readonly ClassAccuracy[];
  /** Images whose logits are not finite; they count as wrong. */
  readonly nonFinite: number;
}

const TOP = 5;

/** Counts the answers of a model, image after image. */
export class Tally {
  readonly #classes: number;
  readonly #predictions: Predictions;
  readonly #counts: Uint32Array;
  readonly #corrects: Uint32Array;
  #count = 0;
  #inTop = 0;
  #confidence = 0;
  #nonFinite = 0;

  /** @param count images that there will be */
  constructor(classes: number, count: number) {
    this.#classes = classes;
    this.#predictions = predictionsFor(classes, count);
    this.#counts = new Uint32Array(classes);
    this.#corrects = new Uint32Array(classes);
  }

  /** @param label below the number of classes */
  add(logits: Float32Array, label: number): void {
    const index = this.#count;
    this.#count += 1;
    this.#counts[label] = (this.#counts[label] ?? 0) + 1;
    if (!logits.every(Number.isFinite)) {
      this.#nonFinite += 1;
      this.#predictions[index] = this.#classes;
      return;
    }
    const prediction = argmax(logits);
    this.#predictions[index] = prediction;
    this.#confidence += confidenceOf(logits);
    if (prediction === label) this.#corrects[label] = (this.#corrects[label] ?? 0) + 1;
    if (rankOf(logits, label) < TOP) this.#inTop += 1;
  }

  /** @param labels names of the classes; a class without a name is called by its index */
  result(labels: readonly string[] = []): Evaluation {
    const count = this.#count;
    const correct = this.#corrects.reduce((sum, value) => sum + value, 0);
    const finite = count - this.#nonFinite;
    const { low, high } = wilson(correct, count);
    return {
      count,
      correct,
      accuracy: correct / count,
      ...(this.#classes > TOP ? { top5: this.#inTop / count } : {}),
      standardError: standardErrorOf(correct, count),
      interval95: [low, high],
      meanConfidence: finite === 0 ? 0 : this.#confidence / finite,
      predictions: this.#predictions.slice(0, count),
      perClass: Array.from(this.#counts, (ofClass, index) => ({
        label: labels[index] ?? String(index),
        count: ofClass,
        accuracy: ofClass === 0 ? null : (this.#corrects[index] ?? 0) / ofClass,
      })),
      nonFinite: this.#nonFinite,
    };
  }
}

/** One value more than there are classes must fit. */
function predictionsFor(classes: number, count: number): Predictions {
  if (classes < 2 ** 8) return new Uint8Array(count);
  return classes < 2 ** 16 ? new Uint16Array(count) : new Uint32Array(count);
}

/** How many classes come before this one; of equals the first comes first, as `argmax` has it. */
function rankOf(logits: Float32Array, label: number): number {
  const own = logits[label] ?? Number.NaN;
  let before = 0;
  for (const [index, logit] of logits.entries()) {
    if (logit > own || (logit === own && index < label)) before += 1;
  }
  return before;
}

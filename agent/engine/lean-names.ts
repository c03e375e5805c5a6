/** A lean model whose weights lie in the file that all of its folder share, used in place. */
const IN_PLACE = '.onnx';
/** A lean model with its weights in itself, which the library copies into the order that it likes. */
const SELF_CONTAINED = '.packed.onnx';

/** Name of the file that holds the weights of all levels. */
export const WEIGHTS_FILE = 'weights.bin';

/** Which of a model's lean forms: see `lean-trial.ts` for what decides. */
export type LeanForm = 'in-place' | 'self-contained';

/** Name of a model's lean file. The form stands in it: a session is opened differently for each. */
export function leanName(sha256: string, form: LeanForm): string {
  return `${sha256}${form === 'in-place' ? IN_PLACE : SELF_CONTAINED}`;
}

/** Whether a lean model has its weights in itself. */
export function isSelfContained(path: string): boolean {
  return path.endsWith(SELF_CONTAINED);
}

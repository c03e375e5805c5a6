/** Index of the greatest value; the first of equals, -1 of nothing. */
export function argmax(values: Float32Array): number {
  let best = -1;
  let greatest = Number.NEGATIVE_INFINITY;
  for (const [index, value] of values.entries()) {
    if (value <= greatest && best !== -1) continue;
    greatest = value;
    best = index;
  }
  return best;
}

/** Softmax probability, 0..1, of the class with the greatest logit; 0 of nothing, and of what is no number. */
export function confidenceOf(logits: Float32Array): number {
  const greatest = logits[argmax(logits)];
  if (greatest === undefined) return 0;
  // Less the greatest, so that no exponential overflows; its own term is then 1.
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - greatest);
  return Number.isNaN(sum) ? 0 : 1 / sum;
}

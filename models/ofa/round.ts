/**
 * To the nearest integer, a half to the even one: as IEEE 754 and Python's `round` do, and ONNX's
 * QuantizeLinear.
 */
export function roundHalfEven(value: number): number {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 !== 0 ? up - 1 : up;
}

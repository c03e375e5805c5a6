/** Pixels of noise, the same every time, so that a verdict can be repeated (generator of Numerical Recipes). */
export function noise(size: number): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length: size }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  });
}

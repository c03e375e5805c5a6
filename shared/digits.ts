/** Nearest number of so many significant decimal digits; it takes less room as text. */
export function roundDigits(value: number, digits: number): number {
  return Number(value.toPrecision(digits));
}

/** Greatest number of so many significant digits that is not above `value`. */
export function floorDigits(value: number, digits: number): number {
  const nearest = roundDigits(value, digits);
  return nearest <= value ? nearest : roundDigits(nearest - unitOf(value, digits), digits);
}

/** Least number of so many significant digits that is not below `value`. */
export function ceilDigits(value: number, digits: number): number {
  return -floorDigits(-value, digits) || 0;
}

/** What the last of the digits of `value` counts. */
function unitOf(value: number, digits: number): number {
  return 10 ** (Math.floor(Math.log10(Math.abs(value))) + 1 - digits);
}

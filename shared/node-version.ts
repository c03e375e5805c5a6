/**
 * Runs before anything else is loaded, on whatever Node.js a machine has: no import, and no syntax or
 * function newer than Node.js 18.
 */
const OLDEST_MAJOR = 24;

/**
 * Whether this Node.js can run the program.
 * @returns one line that says what is wrong and what to do, or undefined when all is well
 */
export function checkNodeVersion(
  versions: { readonly node: string },
  program: string,
  path: string = process.execPath,
): string | undefined {
  const major = Number.parseInt(versions.node, 10);
  if (major >= OLDEST_MAJOR) return undefined;
  return `${program} needs Node.js ${OLDEST_MAJOR} or newer; this is ${versions.node} (${path}). Install a newer one, or put it first in PATH.`;
}

import { AppError } from '../errors.ts';
import { type PublicKey, publicKeyOf } from './signature.ts';

/** Roots of one keyring, or pinned on one device. */
export const MAX_ROOTS = 8;
/** A file of roots is a few lines; a larger one is something else. */
export const MAX_ROOT_FILE_BYTES = 16 * 1024;

const WORD = 'ofa-root';

/**
 * Reads a file of pinned roots: a line `ofa-root <base64>` for each, `#` begins a comment.
 * @param what names the file in messages
 * @throws AppError `config` naming the line, also when there is none or more than `MAX_ROOTS`
 */
export function parseRootFile(text: string, what: string): PublicKey[] {
  const roots = new Map<string, PublicKey>();
  for (const [index, line] of text.split('\n').entries()) {
    const words = line.replace(/#.*/, '').trim();
    if (words === '') continue;
    const root = parseRoot(words);
    if (root === undefined) {
      throw new AppError('config', `${what}: line ${index + 1}: expected '${WORD} <32 bytes in base64>'`);
    }
    roots.set(root.id, root);
  }
  if (roots.size === 0) throw new AppError('config', `${what}: no line '${WORD} <32 bytes in base64>' in it`);
  if (roots.size <= MAX_ROOTS) return [...roots.values()];
  throw new AppError('config', `${what}: ${roots.size} roots, at most ${MAX_ROOTS} are taken`);
}

function parseRoot(words: string): PublicKey | undefined {
  const [word, key, ...rest] = words.split(/\s+/);
  return word === WORD && key !== undefined && rest.length === 0 ? publicKeyOf(key) : undefined;
}

/** Writes a file that `parseRootFile` reads. */
export function formatRootFile(roots: readonly PublicKey[]): string {
  const lines = roots.map(({ id, key }) => `# ${id}\n${WORD} ${key}\n`);
  return `# Who says whose releases an agent takes. Put this on every agent, as trust.root.\n${lines.join('')}`;
}

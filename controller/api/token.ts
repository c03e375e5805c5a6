import { timingSafeEqual } from 'node:crypto';
import { AppError } from '../../shared/errors.ts';
import { sha256, writeAtomic } from '../../shared/files.ts';
import type { MetaStore } from '../store/meta-store.ts';

const TOKEN_BYTES = 32;

export interface TokenDeps {
  readonly meta: MetaStore;
  /** Where a token that is made now is written; empty: it is returned. */
  readonly tokenFile: string;
  readonly randomBytes: (count: number) => Uint8Array;
}

export interface ApiToken {
  readonly sha256: string;
  /** Set when it was made now and stands in no file. */
  readonly token: string | undefined;
}

/**
 * The API's token: made at the first start, of which only the hash is kept.
 * @throws AppError `config` when the file for it cannot be written
 */
export async function ensureToken({ meta, tokenFile, randomBytes }: TokenDeps): Promise<ApiToken> {
  const known = meta.get('token-sha256');
  if (known !== undefined) return { sha256: known, token: undefined };
  const token = `ofa_${Buffer.from(randomBytes(TOKEN_BYTES)).toString('base64url')}`;
  // The file comes first: a crash between the two makes a new token, not one that nobody knows.
  if (tokenFile !== '') await writeToken(tokenFile, token);
  const hash = sha256(token);
  meta.set('token-sha256', hash);
  return { sha256: hash, token: tokenFile === '' ? token : undefined };
}

async function writeToken(path: string, token: string): Promise<void> {
  try {
    await writeAtomic(path, `${token}\n`, 0o600);
  } catch (cause) {
    throw new AppError('config', `token file ${path} cannot be written; name another with --token-file`, {
      cause,
    });
  }
}

/** Whether an Authorization header carries the token of this hash; it takes the same time either way. */
export function isAuthorized(header: string | undefined, tokenSha256: string): boolean {
  const token = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1] ?? '';
  return timingSafeEqual(Buffer.from(sha256(token)), Buffer.from(tokenSha256));
}

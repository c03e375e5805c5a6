import { mkdir, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError, isSystemError } from '../../shared/errors.ts';
import { writeAtomic } from '../../shared/files.ts';
import { userFolder } from '../../shared/user-folder.ts';
import type { Credentials } from './client.ts';

const HOW_TO_LOG_IN = "run 'ofa-fleet login URL', or set OFA_FLEET_URL and OFA_FLEET_TOKEN";

/** The file that `login` writes. */
export function loginFile(env: NodeJS.ProcessEnv): string {
  return join(userFolder(env), 'login.json');
}

/**
 * The controller's address as it is used from then on: http or https, nothing secret in it, no slash at
 * its end.
 * @throws AppError `usage`
 */
export function parseUrl(text: string, what: string): string {
  const url = URL.parse(text);
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw new AppError(
      'usage',
      `${what}: '${text}' is not an address; write for example http://localhost:7300`,
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw new AppError('usage', `${what}: an address must not hold a name or password`);
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

/**
 * Finds out which controller is meant and what lets us in: the environment, or else what `login` wrote.
 * @throws AppError `unauthorized` when there is neither
 */
export async function findCredentials(env: NodeJS.ProcessEnv): Promise<Credentials> {
  const url = env['OFA_FLEET_URL'];
  const token = env['OFA_FLEET_TOKEN'];
  if (url && token) return { url: parseUrl(url, 'OFA_FLEET_URL'), token };
  if (url || token) {
    const [given, missing] = url
      ? ['OFA_FLEET_URL', 'OFA_FLEET_TOKEN']
      : ['OFA_FLEET_TOKEN', 'OFA_FLEET_URL'];
    throw new AppError(
      'unauthorized',
      `${given} is set and ${missing} is not; set both, or neither after a login`,
    );
  }
  return readLogin(loginFile(env));
}

async function readLogin(path: string): Promise<Credentials> {
  const text = await readPrivate(path);
  if (text === undefined) throw new AppError('unauthorized', `not logged in; ${HOW_TO_LOG_IN}`);
  const login = parseLogin(text);
  if (login === undefined) throw new AppError('config', `${path} is not what login wrote; ${HOW_TO_LOG_IN}`);
  return login;
}

async function readPrivate(path: string): Promise<string | undefined> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, 'r');
  } catch (cause) {
    if (isSystemError(cause, 'ENOENT')) return undefined;
    throw new AppError('config', `cannot read ${path}`, { cause });
  }
  try {
    // Of the open file, so that nobody can put another one in its place in between.
    const { mode } = await file.stat();
    if ((mode & 0o077) !== 0) {
      throw new AppError('config', `${path} holds a token and others may read it; run: chmod 600 ${path}`);
    }
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

function parseLogin(text: string): Credentials | undefined {
  try {
    const { url, token } = Object(JSON.parse(text));
    return typeof url === 'string' && typeof token === 'string' ? { url, token } : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps the credentials for later commands, readable by this user only. */
export async function saveLogin(env: NodeJS.ProcessEnv, credentials: Credentials): Promise<string> {
  const path = loginFile(env);
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeAtomic(path, `${JSON.stringify(credentials, null, 2)}\n`, 0o600);
  } catch (cause) {
    throw new AppError('system', `cannot write ${path}`, { cause });
  }
  return path;
}

/** Forgets the credentials. Done already is done. */
export async function removeLogin(env: NodeJS.ProcessEnv): Promise<void> {
  await rm(loginFile(env), { force: true });
}

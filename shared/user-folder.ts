import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

/** Where this user's own files of ofa-fleet are (XDG Base Directory Specification). */
export function userFolder(env: NodeJS.ProcessEnv): string {
  const xdg = env['XDG_CONFIG_HOME'];
  const base = xdg !== undefined && isAbsolute(xdg) ? xdg : join(env['HOME'] || homedir(), '.config');
  return join(base, 'ofa-fleet');
}

/** Where this user's private keys are, and `root.pub`: `OFA_FLEET_KEYS`, or a folder beside what `login` wrote. */
export function keyFolder(env: NodeJS.ProcessEnv): string {
  const given = env['OFA_FLEET_KEYS'];
  return given ? resolve(given) : join(userFolder(env), 'keys');
}

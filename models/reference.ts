import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { packageRoot } from '../shared/package.ts';

/** Published data of Dynamic-OFA by the names that commands take, from the reference folder. */
const PUBLISHED = {
  predictor: { published: 'acc_predictor.safetensors' },
  table: { jetson: 'latency_jetson.json', jetson_GPU: 'latency_jetson_GPU.json' },
} as const satisfies Record<string, Readonly<Record<string, string>>>;

/**
 * A path, or the name of something that Dynamic-OFA published, which lies in the folder that `OFA_REFERENCE`
 * names (default: `shared/reference` beside this package).
 * @returns the path, as given where it is one or no such name
 */
export function publishedPath(kind: keyof typeof PUBLISHED, text: string, env: NodeJS.ProcessEnv): string {
  const names: Readonly<Record<string, string>> = PUBLISHED[kind];
  if (existsSync(text) || !Object.hasOwn(names, text)) return text;
  const folder = env['OFA_REFERENCE'] ?? join(packageRoot(), '../shared/reference');
  return resolve(folder, 'dynamic-ofa', names[text] ?? '');
}

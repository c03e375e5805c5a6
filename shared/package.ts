import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { invariant } from './errors.ts';

/** The package's folder, whether the program runs from its sources or from what was built of them. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const parent = dirname(folder);
    invariant(parent !== folder, 'the program lies in the ofa-fleet package');
    folder = parent;
    try {
      const manifest: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      if (isOurs(manifest)) return folder;
    } catch {
      // No package.json here, or another one's: look further up.
    }
  }
}

/** The version of this package. */
export function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8'));
  invariant(isOurs(manifest), 'package.json names ofa-fleet and its version');
  return manifest.version;
}

function isOurs(manifest: unknown): manifest is { name: string; version: string } {
  return (
    typeof manifest === 'object' &&
    manifest !== null &&
    'name' in manifest &&
    manifest.name === 'ofa-fleet' &&
    'version' in manifest &&
    typeof manifest.version === 'string'
  );
}

/**
 * The module beside `importMetaUrl` with this name, ending as its neighbour does: `.ts` when the program
 * runs from sources, `.js` when it runs built. For workers and child processes, which take a URL.
 */
export function siblingModule(importMetaUrl: string, name: string): URL {
  return new URL(`./${name}${importMetaUrl.endsWith('.ts') ? '.ts' : '.js'}`, importMetaUrl);
}

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { packageRoot } from '../shared/package.ts';
import { asyncApiDocument } from '../shared/protocol/asyncapi.ts';

const GENERATED = 'shared/protocol/asyncapi.yaml';
const HEADER = '# Generated from the code of shared/protocol by `npm run generate`; not to be edited.\n';

/** Writes what is generated from the code, or with `--check` says whether the file is current. */
function main(args: readonly string[]): number {
  const path = join(packageRoot(), GENERATED);
  const text = HEADER + stringify(asyncApiDocument(), { lineWidth: 110, aliasDuplicateObjects: false });
  if (!args.includes('--check')) {
    writeFileSync(path, text);
    return 0;
  }
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return 0;
  process.stderr.write(`${GENERATED} is not what the code generates: run npm run generate\n`);
  return 1;
}

process.exitCode = main(process.argv.slice(2));

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path/posix';
import { packageRoot } from '../../shared/package.ts';

/** A TypeScript file of the repository; its path is relative to the repository's folder. */
export interface Source {
  readonly path: string;
  readonly text: string;
}

export interface Import {
  /** Path of a file of ours, or the name of a package (`node:fs`, `@scope/name`). */
  readonly target: string;
  readonly isOurs: boolean;
  readonly isTypeOnly: boolean;
  readonly line: number;
}

/** Files under version control, and those that would be with `git add`. */
export function repositoryFiles(): string[] {
  const listed = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], {
    cwd: packageRoot(),
    encoding: 'utf8',
  });
  return listed.split('\n').filter((path) => path !== '' && existsSync(join(packageRoot(), path)));
}

/** All TypeScript files of the repository. */
export function readSources(): Source[] {
  const paths = repositoryFiles().filter((path) => path.endsWith('.ts'));
  return paths.map((path) => ({ path, text: readFileSync(join(packageRoot(), path), 'utf8') }));
}

const FROM = /^[ \t]*(?<kind>import|export)\s+(?<type>type\s)?(?<names>[^'";]*?)\s*from\s*'(?<name>[^']+)'/gm;
const BARE = /^[ \t]*import\s*'(?<name>[^']+)'/gm;
const DYNAMIC = /\bimport\(\s*'(?<name>[^']+)'\s*\)/g;

/** What a file imports: statically, as types, dynamically, or to export it again. */
export function importsOf(source: Source): Import[] {
  return [FROM, BARE, DYNAMIC].flatMap((pattern) =>
    Array.from(source.text.matchAll(pattern), (match) =>
      importOf(source, match, match.groups?.['name'] ?? ''),
    ),
  );
}

function importOf(source: Source, match: RegExpExecArray, name: string): Import {
  const isOurs = name.startsWith('.');
  return {
    target: isOurs ? join(dirname(source.path), name) : packageOf(name),
    isOurs,
    isTypeOnly: isTypeOnly(match.groups?.['type'], match.groups?.['names']),
    line: lineAt(source.text, match.index),
  };
}

function isTypeOnly(type: string | undefined, names: string | undefined): boolean {
  if (type !== undefined) return true;
  const inBraces = /^\{(?<list>[^}]*)\}$/.exec(names?.trim() ?? '')?.groups?.['list'];
  const listed = inBraces?.split(',').filter((name) => name.trim() !== '') ?? [];
  return listed.length > 0 && listed.every((name) => name.trim().startsWith('type '));
}

function packageOf(name: string): string {
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');
}

/** Number, from 1, of the line in which a place of a text is. */
function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

/**
 * The code of a file: comments and the content of texts are blanked out, lines stay where they were. A small
 * scanner, not a parser: `${}` inside of a template counts as its text.
 */
export function codeOf(text: string): string {
  const skipped = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
  return text.replaceAll(skipped, (part) => part.replaceAll(/[^\n]/g, ' '));
}

/** Places where a pattern matches, as `path:line: the line`. */
export function placesOf(source: Source, text: string, pattern: RegExp): string[] {
  const lines = source.text.split('\n');
  return Array.from(text.matchAll(pattern), (match) => {
    const line = lineAt(text, match.index);
    return `${source.path}:${line}: ${(lines[line - 1] ?? '').trim()}`;
  });
}

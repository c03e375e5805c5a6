import { describe, expect, test } from 'vitest';
import { codeOf, placesOf, readSources, repositoryFiles, type Source } from './sources.ts';

/** A test is a list of cases, which reads well for longer than a program does. */
const MAX_LINES = { program: 300, test: 400 };

/** What may lie in the repository's own folder. */
const TOP_LEVEL =
  /^(package(-lock)?\.json|tsconfig(\.\w+)?\.json|(README|CHANGELOG|CONTRIBUTING)\.md|LICENSE|biome\.json|knip\.json|vitest\.config\.ts|\.npmrc|\.gitignore|\.gitattributes|(agent|controller|shared|models|deploy|test|\.ci)\/.*)$/;

/** A thing that only some files may do. */
interface Rule {
  readonly what: string;
  readonly pattern: RegExp;
  /** Files in which it may stand. */
  readonly except?: RegExp;
  /** Whether comments and texts are searched as well. */
  readonly inTexts?: boolean;
}

const RULES: readonly Rule[] = [
  {
    what: 'topics stand in one file',
    pattern: /\bofa\/1\//g,
    except: /^(test\/|shared\/protocol\/topics\.ts$)/,
    inTexts: true,
  },
  { what: 'no any', pattern: /(?:[:<|&]\s*|\bas\s+)any\b(?!\s*[:(])|,\s*any\s*>/g },
  { what: 'no non-null assertion', pattern: /[\w)\]]!(?=[.;,)\]}[]|\s*$)/gm },
  { what: 'no cast by way of unknown', pattern: /\bas\s+unknown\s+as\b/g },
  {
    what: 'no switched-off check',
    pattern: /@ts-(?:ignore|expect-error|nocheck)|biome-ignore|eslint-disable/g,
    except: /^test\/repo\/rules\.test\.ts$/,
    inTexts: true,
  },
  {
    what: 'no default export',
    pattern: /^\s*export\s+default\b|\bas\s+default\b/gm,
    except: /vitest\.config\.ts$/,
  },
  {
    what: 'no enum, namespace or decorator',
    pattern: /^\s*(?:export\s+)?(?:const\s+)?(?:enum|namespace)\s+\w|^\s*@\w+\(/gm,
  },
  {
    what: 'a process is ended in one place',
    pattern: /\bprocess\.exit\(/g,
    except: /(^|\/)main\.ts$|^shared\/program\.ts$|^shared\/native-child-side\.ts$|^test\//,
  },
  {
    what: 'time and chance are parameters',
    pattern: /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bsetInterval\b/g,
    except: /^shared\/clock\.ts$|(^|\/)(main|program)\.ts$|^deploy\/demo\/|^test\//,
  },
  {
    what: 'imports of ours end in .ts',
    pattern: /from\s+'\.[^']*(?<!\.ts)'/g,
    inTexts: true,
    except: /^test\/repo\//,
  },
];

const sources = readSources();

function breaches({ pattern, except, inTexts }: Rule): string[] {
  const checked = sources.filter(({ path }) => except?.test(path) !== true);
  return checked.flatMap((source) =>
    placesOf(source, inTexts === true ? source.text : codeOf(source.text), pattern),
  );
}

describe('what must not stand in a source', () => {
  test.each(RULES)('$what', (rule) => {
    expect(breaches(rule)).toEqual([]);
  });
});

describe('the rules find what they look for', () => {
  test.each([
    ['no any', 'const a: any = 1;'],
    ['no any', 'const a = b as any;'],
    ['no any', 'const a: Map<string, any> = b;'],
    ['no non-null assertion', 'const a = b!.c;'],
    ['no non-null assertion', 'const a = b[0]!;'],
    ['no default export', 'export default 1;'],
    ['time and chance are parameters', 'const a = Date.now();'],
    ['a process is ended in one place', 'process.exit(1);'],
  ])('%s: %s', (what, text) => {
    const rule = RULES.find((candidate) => candidate.what === what);
    expect(Array.from(codeOf(text).matchAll(rule?.pattern ?? /$^/g))).toHaveLength(1);
  });

  test.each([
    'if (a !== b) c(!d);',
    'f(kind, any);',
    "const a = 'as any';",
    '// as any',
    'const company: string = b;',
  ])('not in: %s', (text) => {
    expect(RULES.filter(({ pattern }) => codeOf(text).search(pattern) >= 0)).toEqual([]);
  });
});

test('no source is too long', () => {
  const lengthOf = ({ text }: Source): number => text.trimEnd().split('\n').length;
  const capOf = ({ path }: Source): number => (path.startsWith('test/') ? MAX_LINES.test : MAX_LINES.program);
  const long = sources.filter((source) => lengthOf(source) > capOf(source));
  expect(long.map((source) => `${source.path}:${lengthOf(source)}: at most ${capOf(source)} lines`)).toEqual(
    [],
  );
});

test('files are named in kebab-case', () => {
  const named = sources.filter(({ path }) => !/^[a-z0-9/.-]+$/.test(path));
  expect(named.map(({ path }) => path)).toEqual([]);
});

test("the repository's own folder holds nothing but what belongs there", () => {
  expect(repositoryFiles().filter((path) => !TOP_LEVEL.test(path))).toEqual([]);
});

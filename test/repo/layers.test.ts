import { expect, test } from 'vitest';
import { type Import, importsOf, readSources, type Source } from './sources.ts';

/**
 * Who may import whom. A file belongs to the longest room whose name begins its path; `may` are the rooms
 * (or files) of ours that it may import besides its own room, `types` those of which it may import types.
 */
interface Room {
  readonly room: string;
  readonly may: readonly string[];
  readonly types?: readonly string[];
}

const ROOMS: readonly Room[] = [
  { room: 'shared/', may: [] },
  { room: 'models/', may: ['shared/'] },
  { room: 'models/ofa/', may: ['shared/'] },
  { room: 'models/checkpoint/', may: ['shared/', 'models/ofa/'] },
  { room: 'models/datasets/', may: ['shared/'] },
  { room: 'models/plot/', may: ['shared/', 'models/pareto.ts'] },

  { room: 'agent/', may: ['shared/', 'models/ofa/'] },
  // The weights of a family are put into one file on the device: pure functions over ONNX.
  { room: 'agent/engine/', may: ['shared/', 'models/ofa/'] },
  { room: 'agent/sensors/', may: ['shared/'] },
  { room: 'agent/store/', may: ['shared/'] },
  { room: 'agent/link/', may: ['shared/'] },
  { room: 'agent/frames/', may: ['shared/'] },
  { room: 'agent/trust/', may: ['shared/', 'agent/store/'] },
  { room: 'agent/blobs/', may: ['shared/'] },
  { room: 'agent/transfer/', may: ['shared/'], types: ['agent/blobs/'] },
  // Models are cut on the device from a backbone and a recipe.
  { room: 'agent/cut/', may: ['shared/', 'models/ofa/'] },
  {
    room: 'agent/install/',
    may: ['shared/', 'agent/store/', 'agent/cut/'],
    types: ['agent/blobs/', 'agent/transfer/', 'agent/service/', 'agent/slots/'],
  },
  { room: 'agent/slots/', may: ['shared/'] },
  // It must stay able to start programs of other versions: it knows nothing of what they do.
  { room: 'agent/launch/', may: ['shared/', 'agent/slots/'] },
  { room: 'agent/audit/', may: ['shared/'] },
  { room: 'agent/energy/', may: ['shared/'], types: ['agent/runtime/points.ts'] },
  { room: 'agent/profile/', may: ['shared/'], types: ['agent/runtime/points.ts', 'agent/engine/'] },
  { room: 'agent/quarantine/', may: ['shared/', 'agent/engine/'] },
  // Decisions are pure; what asks the engine and the frame source for something is told by types.
  { room: 'agent/runtime/', may: ['shared/'], types: ['agent/engine/', 'agent/frames/'] },
  { room: 'agent/runtime/manager/', may: ['shared/', 'agent/runtime/points.ts', 'agent/runtime/policy.ts'] },
  {
    room: 'agent/runtime/policies/',
    may: ['shared/', 'agent/runtime/points.ts', 'agent/runtime/policy.ts', 'agent/runtime/manager/'],
  },
  { room: 'agent/simulate/', may: ['shared/', 'agent/runtime/'] },

  { room: 'controller/', may: ['shared/'] },
  { room: 'controller/broker/', may: ['shared/'] },
  {
    room: 'controller/history/',
    may: ['shared/', 'controller/api/schemas.ts', 'controller/api/history-schemas.ts'],
  },
  {
    room: 'controller/store/',
    may: ['shared/', 'controller/api/schemas.ts', 'controller/api/alert-schemas.ts'],
  },
  // Rules are pure over what they are handed.
  {
    room: 'controller/alerts/',
    may: ['shared/', 'controller/api/schemas.ts', 'controller/api/alert-schemas.ts'],
    types: ['controller/store/', 'controller/history/'],
  },
  { room: 'controller/transfer/', may: ['shared/'] },
  {
    room: 'controller/releases/',
    may: ['shared/'],
    types: ['controller/store/'],
  },
  { room: 'controller/metrics/', may: ['shared/'], types: ['controller/api/'] },
  { room: 'controller/cli/', may: ['shared/'], types: ['controller/api/'] },

  { room: 'deploy/', may: ['shared/'] },
  { room: 'test/', may: ['shared/', 'models/', 'agent/', 'controller/', 'deploy/'] },
  { room: 'vitest.config.ts', may: [] },
];

/** The only file that imports a package; the tests speak to brokers and databases themselves. */
const VENDORS: Readonly<Record<string, RegExp>> = {
  mqtt: /^shared\/mqtt\.ts$/,
  'onnxruntime-node': /^shared\/onnx\.ts$/,
  'better-sqlite3': /^shared\/sqlite\.ts$/,
  convict: /^shared\/config\.ts$/,
  pino: /^shared\/log\.ts$/,
  '@datadog/sketches-js': /^shared\/sketch\.ts$/,
  'node-cron': /^(controller|agent)\/schedule\.ts$/,
  'prom-client': /^(controller|agent)\/metrics\/registry\.ts$/,
  'hyparquet-writer': /^controller\/history\/read\/parquet\.ts$/,
  tar: /^shared\/tar\.ts$/,
  sharp: /^shared\/images\/decode\.ts$/,
  'onnx-proto': /^models\/ofa\/onnx\/proto\.ts$/,
  aedes: /^controller\/broker\//,
};

function roomOf(path: string): Room | undefined {
  const rooms = ROOMS.filter(({ room }) => path.startsWith(room));
  return rooms.toSorted((a, b) => b.room.length - a.room.length)[0];
}

function isAllowed(room: Room, { target, isTypeOnly }: Import): boolean {
  // A room is whole: what lies in it may import all of it, unless a part of it is a room of its own.
  if (target.startsWith(room.room)) return true;
  const places = [...room.may, ...(isTypeOnly ? (room.types ?? []) : [])];
  return places.some((place) => target.startsWith(place));
}

function breaches(source: Source): string[] {
  const room = roomOf(source.path);
  if (room === undefined) return [`${source.path}: in no room; name its room in ${import.meta.filename}`];
  return importsOf(source)
    .filter((found) => found.isOurs && !isAllowed(room, found))
    .map(({ target, line }) => `${source.path}:${line}: ${room.room} must not import ${target}`);
}

const sources = readSources();

test('the rules see the sources and their imports', () => {
  const source = {
    path: 'agent/a/b.ts',
    text: [
      "import { type A, type B } from '../c.ts';",
      'import {',
      '  type A,',
      '  b,',
      "} from '../../shared/d.ts';",
      "import '@scope/name/part';",
      "export type { C } from './e.ts';",
      "const f = await import('node:fs');",
    ].join('\n'),
  };
  expect(importsOf(source).map(({ target, isTypeOnly, line }) => [target, isTypeOnly, line])).toEqual([
    ['agent/c.ts', true, 1],
    ['shared/d.ts', false, 2],
    ['agent/a/e.ts', true, 7],
    ['@scope/name', false, 6],
    ['node:fs', false, 8],
  ]);
  expect(sources.length).toBeGreaterThan(30);
});

test('every file imports only what its room may', () => {
  expect(sources.flatMap(breaches)).toEqual([]);
});

test('no one imports deploy or test', () => {
  const outside = sources.filter(({ path }) => !path.startsWith('deploy/') && !path.startsWith('test/'));
  const found = outside.flatMap((source) =>
    importsOf(source)
      .filter(({ target }) => /^(deploy|test)\//.test(target))
      .map(({ target, line }) => `${source.path}:${line}: imports ${target}`),
  );
  expect(found).toEqual([]);
});

test('every import names a file that is there', () => {
  const paths = new Set(sources.map(({ path }) => path));
  const found = sources.flatMap((source) =>
    importsOf(source)
      .filter(({ isOurs, target }) => isOurs && !paths.has(target) && !target.endsWith('.mjs'))
      .map(({ target, line }) => `${source.path}:${line}: there is no ${target}`),
  );
  expect(found.filter((place) => !place.startsWith('test/repo/'))).toEqual([]);
});

test('one vendor, one file', () => {
  const found = sources
    .filter(({ path }) => !path.startsWith('test/'))
    .flatMap((source) =>
      importsOf(source)
        .filter(
          ({ target, isOurs }) =>
            !isOurs && Object.hasOwn(VENDORS, target) && !VENDORS[target]?.test(source.path),
        )
        .map(
          ({ target, line }) => `${source.path}:${line}: only ${VENDORS[target]?.source} imports ${target}`,
        ),
    );
  expect(found).toEqual([]);
});

/** What reaches outside of the process. */
const EFFECTS =
  /^(node:(fs|net|http|child_process|worker_threads|os|dns|tls)|shared\/(onnx|files|sqlite|mqtt|clock|log)\.ts$)/;

test('cutting sub-networks is pure: agents do it too', () => {
  const found = sources
    .filter(({ path }) => path.startsWith('models/ofa/'))
    .flatMap((source) => importsOf(source).map(({ target, line }) => ({ source, target, line })))
    .filter(({ target }) => EFFECTS.test(target))
    .map(({ source, target, line }) => `${source.path}:${line}: imports ${target}`);
  expect(found).toEqual([]);
});

test('no import cycle, types counted too', () => {
  const graph = new Map(
    sources.map((source) => [source.path, importsOf(source).map(({ target }) => target)]),
  );
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) cycles.push([...trail.slice(at), path].join(' -> '));
    if (at >= 0 || done.has(path)) return;
    for (const target of graph.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  expect(cycles).toEqual([]);
});

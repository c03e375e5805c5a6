import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { problemOfName, readTar, type TarSource, tarOf } from '../../../shared/tar.ts';
import { archiveOf, type HostileEntry, writeArchive } from '../../support/archives.ts';
import { temporaryFolder } from '../../support/temp.ts';

const LIMITS = { entries: 4, bytes: 10_000 };

function source(path: string, content: string): TarSource {
  const bytes = Buffer.from(content);
  return {
    path,
    bytes: bytes.length,
    isExecutable: content.startsWith('#!'),
    open: async function* once() {
      yield bytes;
    },
  };
}

async function contentOf(path: string, limits = LIMITS): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  await readTar(path, limits, async (file) => {
    found[file.path] = `${file.isExecutable ? 'x ' : ''}${await text(file.content)}`;
  });
  return found;
}

test('what was packed is read again, long names too, and the same files give the same bytes', async () => {
  await using folder = await temporaryFolder();
  const long = `${'d'.repeat(120)}/${'f'.repeat(120)}/ü`;
  const files = [source('a', ''), source('b/c', '#!x'), source(long, 'y'.repeat(2_000))];
  const [first, second] = [join(folder.path, '1'), join(folder.path, '2')];
  await writeFile(first, tarOf(files));
  await writeFile(second, tarOf(files));
  expect(await readFile(first)).toEqual(await readFile(second));
  expect(await contentOf(first)).toEqual({ a: '', 'b/c': 'x #!x', [long]: 'y'.repeat(2_000) });
});

test('files may be left unread', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, '1');
  await writeFile(path, tarOf([source('a', 'x'.repeat(5_000)), source('b', 'y')]));
  const names: string[] = [];
  await readTar(path, LIMITS, async (file) => {
    names.push(file.path);
  });
  expect(names).toEqual(['a', 'b']);
});

describe('an archive is refused', () => {
  const cases: readonly (readonly [string, HostileEntry[], RegExp])[] = [
    ['with a way out', [{ path: '../evil' }], /leads elsewhere/],
    ['with a way out in the middle', [{ path: 'a/../../evil' }], /leads elsewhere/],
    ['with an absolute path', [{ path: '/etc/passwd' }], /leads elsewhere/],
    [
      'with an absolute path in an extended header',
      [{ path: 'a', longPath: '/etc/passwd' }],
      /leads elsewhere/,
    ],
    ['with a path of another system', [{ path: '..\\evil' }], /a character that no name has/],
    ['with an empty name', [{ path: 'a//b' }], /leads elsewhere/],
    ['with a symbolic link', [{ path: 'a', type: 'SymbolicLink', linkpath: '/etc' }], /a SymbolicLink/],
    ['with a hard link', [{ path: 'a', type: 'Link', linkpath: 'b' }], /a Link/],
    ['with a device', [{ path: 'a', type: 'CharacterDevice' }], /a CharacterDevice/],
    ['with a pipe', [{ path: 'a', type: 'FIFO' }], /a FIFO/],
    [
      'with more entries than may be',
      Array.from({ length: 5 }, (_, n) => ({ path: `f${n}` })),
      /more than 4 entries/,
    ],
    ['with more bytes than may be', [{ path: 'a', content: 'x'.repeat(10_001) }], /more than 10000 bytes/],
    ['with a size that is a lie', [{ path: 'a', size: 2 ** 40 }], /more than 10000 bytes/],
  ];
  test.each(cases)('%s', async (_, entries, expected) => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'x.tgz');
    await writeArchive(path, [{ path: 'first', content: 'good' }, ...entries]);
    await expect(contentOf(path, { entries: 4, bytes: 10_000 })).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(expected),
    });
  });

  test('that is packed twice, cut off, not packed, damaged, or empty', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'x.tgz');
    const good = archiveOf([{ path: 'a', content: 'x'.repeat(3_000) }]);
    const damaged = Buffer.from(good);
    damaged.fill(7, 0, 100);
    const bad = [
      gzipSync(gzipSync(good)),
      gzipSync(good.subarray(0, 1_200)),
      good,
      gzipSync(damaged),
      Buffer.alloc(0),
    ];
    for (const bytes of [...bad, gzipSync(good).subarray(0, 60)]) {
      await writeFile(path, bytes);
      await expect(contentOf(path)).rejects.toMatchObject({ code: 'invalid' });
    }
  });

  test('of zeros without end, before they fill anything', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'x.tgz');
    await writeFile(path, gzipSync(Buffer.alloc(50_000_000)));
    await expect(contentOf(path)).rejects.toThrow(/more than 10000 bytes/);
  });

  test('when it is any bytes, in no other way', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'x.tgz');
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2_000 }), fc.boolean(), async (bytes, isTar) => {
        await writeFile(path, gzipSync(isTar ? Buffer.concat([archiveOf([{ path: 'a' }]), bytes]) : bytes));
        await contentOf(path).catch((error: unknown) => expect(error).toMatchObject({ code: 'invalid' }));
      }),
      { numRuns: 60 },
    );
  });
});

test('what a callback throws ends the reading, and so does the signal', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'x.tgz');
  await writeFile(path, tarOf([source('a', 'x'.repeat(5_000))]));
  const fault = new TypeError('mine');
  await expect(readTar(path, LIMITS, () => Promise.reject(fault))).rejects.toBe(fault);
  await expect(contentOf(join(folder.path, 'none'))).rejects.toMatchObject({ code: 'system' });
  await expect(
    readTar(path, LIMITS, async () => undefined, AbortSignal.abort(new Error('stop'))),
  ).rejects.toThrow('stop');
});

test('a name that is sound stays below its folder', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('.', '/', '\\', 'a', 'ü', '\0', ' ', '~'), maxLength: 8 }),
      (name) => {
        if (problemOfName(name) !== undefined) return;
        expect(join('/base', name).startsWith('/base/')).toBe(true);
        expect(join('/base', name)).toBe(`/base/${name}`);
      },
    ),
  );
});

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import Type from 'typebox';
import { describe, expect, it } from 'vitest';
import { Stopped, withWork } from '../../../models/cli/work.ts';
import { type Journal, openJournal, stepKey } from '../../../models/journal.ts';
import { parserOf } from '../../../shared/schema.ts';
import { temporaryFolder } from '../../support/temp.ts';

const parseNumber = parserOf(Type.Number());
const HEADER = '{"journal":"ofa-models","format":1}\n';

/** The numbers of steps, of which those that had to be computed. */
async function work(journal: Journal, steps: number): Promise<{ values: number[]; computed: number[] }> {
  const values: number[] = [];
  const computed: number[] = [];
  for (let index = 0; index < steps; index += 1) {
    const compute = async () => {
      computed.push(index);
      return index * index;
    };
    values.push(await journal.step(stepKey('square', index), parseNumber, compute));
  }
  return { values, computed };
}

async function workOn(path: string, steps: number) {
  await using journal = await openJournal(path);
  return await work(journal, steps);
}

describe('a journal', () => {
  it('computes what is not recorded, and only that', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'journal');
    expect(await workOn(path, 3)).toEqual({ values: [0, 1, 4], computed: [0, 1, 2] });
    expect(await workOn(path, 4)).toEqual({ values: [0, 1, 4, 9], computed: [3] });
  });

  it('goes on after a cut at any byte', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'journal');
    await workOn(path, 3);
    const whole = await readFile(path);
    for (let cut = 0; cut < whole.length; cut += 1) {
      await writeFile(path, whole.subarray(0, cut));
      const kept = Math.max(0, whole.subarray(0, cut).toString().split('\n').length - 2);
      const { values, computed } = await workOn(path, 3);
      expect({ cut, values, computed }).toEqual({ cut, values: [0, 1, 4], computed: [0, 1, 2].slice(kept) });
      expect(await readFile(path)).toEqual(whole);
    }
  });

  it('keeps what a process had recorded when it was killed', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'journal');
    const journalModule = new URL('../../../models/journal.ts', import.meta.url).href;
    const script = `
      const { openJournal, stepKey } = await import(${JSON.stringify(journalModule)});
      const journal = await openJournal(${JSON.stringify(path)});
      for (let index = 0; ; index += 1) {
        await journal.step(stepKey('square', index), (value) => value, async () => index * index);
        console.log(index);
      }`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let last = -1;
    for await (const line of createInterface({ input: child.stdout })) {
      last = Number(line);
      if (last === 5) {
        await expect(openJournal(path)).rejects.toMatchObject({
          code: 'conflict',
          message: expect.stringContaining(`process ${child.pid} works on it`),
        });
        child.kill('SIGKILL');
        break;
      }
    }
    if (child.signalCode === null) await once(child, 'close');
    const { values, computed } = await workOn(path, 6);
    expect(values).toEqual([0, 1, 4, 9, 16, 25]);
    expect(computed).toEqual([]);
  });

  const broken: [string, string][] = [
    ['another file', '{"name":"precious"}\n'],
    ['a text without an end', 'precious'],
    ['another format', HEADER.replace('1', '2')],
    ['a broken line', `${HEADER}{"key":"a","value":1}\n{"key":\n`],
    ['a line of something else', `${HEADER}{"value":1}\n`],
  ];

  it.each(broken)('refuses %s, and leaves it as it is', async (_case, content) => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'journal');
    await writeFile(path, content);
    await expect(openJournal(path)).rejects.toMatchObject({
      code: 'config',
      message: expect.stringMatching(/is no journal that can be gone on with .* delete it to begin anew/),
    });
    expect(await readFile(path, 'utf8')).toBe(content);
    await expect(stat(`${path}.lock`)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('leaves no file when it has no step, or is discarded', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'journal');
    await workOn(path, 0);
    expect(await readdir(folder.path)).toEqual([]);
    await workOn(path, 2);
    {
      await using journal = await openJournal(path);
      journal.discard();
      expect((await readdir(folder.path)).sort()).toEqual(['journal', 'journal.lock']);
    }
    expect(await readdir(folder.path)).toEqual([]);
  });

  it('is bounded', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'journal');
    const limits = { maxBytes: 200 };
    {
      await using journal = await openJournal(path, limits);
      await expect(work(journal, 9)).rejects.toMatchObject({
        code: 'system',
        message: expect.stringContaining('is full'),
      });
    }
    expect((await stat(path)).size).toBeLessThanOrEqual(200);
    await expect(openJournal(path, { maxBytes: 50 })).rejects.toMatchObject({ code: 'config' });
  });

  it('computes a key once for all who ask at the same time, and again after a failure', async () => {
    await using folder = await temporaryFolder();
    await using journal = await openJournal(join(folder.path, 'journal'));
    let computations = 0;
    const compute = async () => {
      computations += 1;
      if (computations === 1) throw new Error('bad luck');
      return 7;
    };
    await expect(journal.step('k', parseNumber, compute)).rejects.toThrow('bad luck');
    const both = [journal.step('k', parseNumber, compute), journal.step('k', parseNumber, compute)];
    expect(await Promise.all(both)).toEqual([7, 7]);
    expect({ computations, size: journal.size }).toEqual({ computations: 2, size: 1 });
  });

  it('does not record what could not be read back, nor give what was recorded otherwise', async () => {
    await using folder = await temporaryFolder();
    await using journal = await openJournal(join(folder.path, 'journal'));
    // NaN is null in JSON.
    await expect(journal.step('k', parseNumber, async () => Number.NaN)).rejects.toMatchObject({
      code: 'invalid',
    });
    expect(journal.size).toBe(0);
    await journal.step('k', parseNumber, async () => 1);
    await expect(journal.step('k', parserOf(Type.String()), async () => '')).rejects.toMatchObject({
      code: 'invalid',
    });
  });
});

describe('the lock of a journal', () => {
  it('is taken over from a process that is gone, also when its number came again', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'journal');
    for (const stale of ['4194304 1\n', `${process.pid} 1\n`]) {
      await writeFile(`${path}.lock`, stale);
      await expect(workOn(path, 1)).resolves.toMatchObject({ values: [0] });
    }
    expect(await readdir(folder.path)).toEqual(['journal']);
  });

  it('is taken over where a process was killed while it took it over', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'journal');
    for (const file of [`${path}.lock`, `${path}.lock.takeover`]) await writeFile(file, '4194304 1\n');
    await expect(workOn(path, 1)).resolves.toMatchObject({ values: [0] });
    expect(await readdir(folder.path)).toEqual(['journal']);
  });

  it('is taken over by one only of many who find it', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'journal');
    for (let round = 0; round < 20; round += 1) {
      await writeFile(`${path}.lock`, '4194304 1\n');
      const all = await Promise.allSettled(Array.from({ length: 8 }, async () => await openJournal(path)));
      const open = all.filter((one) => one.status === 'fulfilled');
      expect(open).toHaveLength(1);
      await open[0]?.value[Symbol.asyncDispose]();
      expect(await readdir(folder.path)).toEqual([]);
    }
  });

  it('is respected within one process, and when nobody knows whose it is', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'journal');
    {
      await using _journal = await openJournal(path);
      await expect(openJournal(path)).rejects.toMatchObject({ code: 'conflict' });
    }
    await writeFile(`${path}.lock`, '');
    await expect(openJournal(path)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining(`delete ${path}.lock`),
    });
  });
});

describe('work with a journal', () => {
  /** Does some steps, and then what is given. */
  const worker = (steps: number, end: () => void) => async (journal: Journal) => {
    const { computed } = await work(journal, steps);
    end();
    return computed.length;
  };
  const stop = (): never => {
    throw new Stopped('SIGINT');
  };

  it('names its journal when it is stopped, and goes on from there', async () => {
    await using folder = await temporaryFolder();
    const out = join(folder.path, 'out');
    await expect(withWork(out, undefined, worker(2, stop))).rejects.toMatchObject({
      code: 'partial',
      message: `SIGINT: stopped; the same command again goes on from here (journal ${out}.work)`,
    });
    expect(
      await withWork(
        out,
        undefined,
        worker(3, () => undefined),
      ),
    ).toBe(1);
    expect(await readdir(folder.path)).toEqual([]);
  });

  it('does not promise anything when it is stopped before its first step', async () => {
    await using folder = await temporaryFolder();
    const stopped = withWork(join(folder.path, 'out'), undefined, worker(0, stop));
    await expect(stopped).rejects.toMatchObject({ message: 'SIGINT: stopped; nothing was kept' });
    expect(await readdir(folder.path)).toEqual([]);
  });

  it('keeps its journal when it fails, and one that was named always', async () => {
    await using folder = await temporaryFolder();
    const [out, named] = [join(folder.path, 'out'), join(folder.path, 'named')];
    const fail = () => {
      throw new Error('the disk is full');
    };
    await expect(withWork(out, undefined, worker(1, fail))).rejects.toThrow('the disk is full');
    await withWork(
      out,
      named,
      worker(1, () => undefined),
    );
    expect((await readdir(folder.path)).sort()).toEqual(['named', 'out.work']);
  });
});

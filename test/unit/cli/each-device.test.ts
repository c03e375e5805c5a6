import { describe, expect, it } from 'vitest';
import { eachDevice } from '../../../controller/cli/each-device.ts';
import { AppError, exitCodeOf } from '../../../shared/errors.ts';

async function run(ids: string[], failing: Record<string, AppError>) {
  const notes: string[] = [];
  let done: string[] = [];
  const error = await eachDevice(
    ids,
    async (id) => {
      const failure = failing[id];
      if (failure !== undefined) throw failure;
      return id;
    },
    {
      note: (line) => notes.push(line),
      onDone: (results) => {
        done = results;
      },
    },
  ).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return { notes, done, error, exit: error === undefined ? 0 : exitCodeOf(error) };
}
const missing = new AppError('not-found', 'no such device');

describe('eachDevice', () => {
  it('does every device once', async () => {
    expect(await run(['a', 'b', 'a'], {})).toMatchObject({ done: ['a', 'b'], notes: [], exit: 0 });
  });

  it('goes on after a failure and ends as done in part, with a line per failed device', async () => {
    const { done, notes, exit } = await run(['a', 'b', 'c'], { b: missing });
    expect(done).toEqual(['a', 'c']);
    expect(notes).toEqual(['b: no such device']);
    expect(exit).toBe(6);
  });

  it('ends as the failure itself when nothing was done', async () => {
    expect((await run(['a'], { a: missing })).error).toBe(missing);
    expect((await run(['a', 'b'], { a: missing, b: missing })).exit).toBe(3);
  });

  it('stops where every other device would fail the same way', async () => {
    const gone = new AppError('unreachable', 'gone');
    expect(await run(['a', 'b'], { a: gone })).toMatchObject({ error: gone, done: [], notes: [] });
  });
});

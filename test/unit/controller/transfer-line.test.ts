import { expect, test } from 'vitest';
import { createLine, type LineOptions } from '../../../controller/transfer/line.ts';
import type { ChunkRange, Want } from '../../../shared/protocol/release.ts';

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);
const GATHER_MS = 90_000;

const wantOf = (sha256: string, ...chunks: ChunkRange[]): Want => ({ v: 1, sha256, chunks });

function lineOf(expectsMore: LineOptions['expectsMore'] = () => false) {
  const line = createLine({ gatherMs: GATHER_MS, expectsMore });
  const sendAll = (nowMs: number): string[] => {
    const sent: string[] = [];
    for (let chunk = line.take(nowMs); chunk !== undefined; chunk = line.take(nowMs)) {
      sent.push(`${chunk.sha256[0]}${chunk.n}`);
      line.sent(chunk, nowMs);
    }
    return sent;
  };
  return { line, sendAll };
}

test('what many devices want is sent once', () => {
  const { line, sendAll } = lineOf();
  for (let device = 0; device < 50; device += 1) line.want(`d${device}`, wantOf(A, [0, 3]), 0);
  expect(sendAll(0)).toEqual(['a0', 'a1', 'a2', 'a3']);
  expect(line.counts.merged).toBe(49 * 4);
});

test('a chunk that was sent just now is not sent again, and a second later it is', () => {
  const { line, sendAll } = lineOf();
  line.want('d1', wantOf(A, [0, 1]), 100);
  sendAll(200);
  line.want('d2', wantOf(A, [0, 2]), 1_150);
  expect(sendAll(1_150)).toEqual(['a2']);
  line.want('d2', wantOf(A, [0, 1]), 1_500);
  expect(sendAll(1_500)).toEqual(['a0', 'a1']);
});

test('a chunk that is under way is not queued', () => {
  const { line, sendAll } = lineOf();
  line.want('d1', wantOf(A, [7, 7]), 0);
  const chunk = line.take(0);
  line.want('d2', wantOf(A, [7, 7]), 60_000);
  expect(sendAll(60_000)).toEqual([]);
  if (chunk !== undefined) line.putBack(chunk);
  expect(sendAll(60_000)).toEqual(['a7']);
});

test('blobs take turns', () => {
  const { line, sendAll } = lineOf();
  line.want('d1', wantOf(A, [0, 3]), 0);
  line.want('d1', wantOf(B, [0, 1]), 0);
  expect(sendAll(0)).toEqual(['a0', 'b0', 'a1', 'b1', 'a2', 'a3']);
});

test('who joins in the middle hears the rest first', () => {
  const { line, sendAll } = lineOf();
  line.want('d1', wantOf(A, [0, 5]), 0);
  for (let n = 0; n < 3; n += 1) line.sent(line.take(0) ?? { sha256: A, n: -1 }, 0);
  line.want('d2', wantOf(A, [0, 5]), 3_000);
  expect(sendAll(3_000)).toEqual(['a3', 'a4', 'a5', 'a0', 'a1', 'a2']);
});

test('chunks beyond the end, and blobs that are not there, are counted and take no room', () => {
  const { line, sendAll } = lineOf();
  line.want('d1', wantOf(A, [0, 99]), 0);
  for (let n = 0; n < 2; n += 1) line.sent(line.take(0) ?? { sha256: A, n: -1 }, 0);
  line.absent(line.take(0) ?? { sha256: A, n: -1 });
  expect(line.waiting).toBe(0);
  expect(line.counts.unknown).toBe(98);
  line.want('d1', wantOf(A, [1, 4]), 9_000);
  expect(line.counts.unknown).toBe(101);
  expect(sendAll(9_000)).toEqual(['a1']);
});

test('ranges that overlap, however many, cost no more than the blob', () => {
  const { line } = lineOf();
  const chunks = Array.from({ length: 256 }, (): ChunkRange => [0, 32_767]);
  line.want('d1', { v: 1, sha256: A, chunks }, 0);
  expect(line.waiting).toBe(32_768);
  expect(line.counts.merged).toBe(0);
});

test('there is room for a bounded number of blobs, and it comes back', () => {
  const { line, sendAll } = lineOf();
  const name = (index: number): string => index.toString(16).padStart(64, '0');
  for (let index = 0; index < 2_000; index += 1) line.want('d1', wantOf(name(index), [0, 0]), 0);
  expect(line.waiting).toBe(1_024);
  expect(line.counts.dropped).toBe(976);
  expect(sendAll(0)).toHaveLength(1_024);
  line.want('d1', wantOf(A, [0, 0]), 200_000);
  expect(sendAll(200_000)).toEqual(['a0']);
});

test('a blob that is not there gives its room back at once', () => {
  const { line } = lineOf();
  const name = (index: number): string => index.toString(16).padStart(64, '0');
  for (let index = 0; index < 2_000; index += 1) {
    line.want('d1', wantOf(name(index), [5, 9]), 0);
    const chunk = line.take(0);
    if (chunk !== undefined) line.absent(chunk);
  }
  expect(line.counts).toMatchObject({ unknown: 10_000, dropped: 0 });
});

test('the first chunk is held back while more devices are expected, and no longer', () => {
  const expected = new Set(['d1', 'd2', 'd3']);
  const { line, sendAll } = lineOf(({ asked }) => asked.size < expected.size);
  line.want('d1', wantOf(A, [0, 0]), 0);
  expect(sendAll(1_000)).toEqual([]);
  expect(line.isGathering).toBe(true);
  line.want('d2', wantOf(A, [0, 0]), 2_000);
  line.want('d1', wantOf(A, [0, 0]), 7_000);
  expect(sendAll(7_000)).toEqual([]);
  line.want('d3', wantOf(A, [0, 1]), 8_000);
  expect(sendAll(8_000)).toEqual(['a0', 'a1']);
  expect(line.isGathering).toBe(false);
});

test('it is not held back for longer than the time of gathering', () => {
  const { line, sendAll } = lineOf(() => true);
  line.want('d1', wantOf(A, [0, 0]), 500);
  expect(sendAll(GATHER_MS + 499)).toEqual([]);
  expect(sendAll(GATHER_MS + 500)).toEqual(['a0']);
});

test('who lost a chunk gets it at once, though more devices are expected', () => {
  const { line, sendAll } = lineOf(() => true);
  line.want('d1', wantOf(A, [0, 3]), 0);
  sendAll(GATHER_MS);
  line.want('d1', wantOf(A, [2, 2]), GATHER_MS + 6_000);
  expect(sendAll(GATHER_MS + 6_000)).toEqual(['a2']);
});

test('a device that asks long after is the first again', () => {
  const { line, sendAll } = lineOf(() => true);
  line.want('d1', wantOf(A, [0, 0]), 0);
  sendAll(GATHER_MS);
  line.want('d1', wantOf(A, [0, 0]), 1_000_000);
  expect(sendAll(1_000_000)).toEqual([]);
  expect(sendAll(1_000_000 + GATHER_MS)).toEqual(['a0']);
});

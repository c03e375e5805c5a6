import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FRAME_SCAN_START, type FrameScan, scanFrames } from '../../../controller/broker/frames.ts';

function packet(bodyBytes: number): number[] {
  const length: number[] = [];
  let rest = bodyBytes;
  do {
    length.push((rest % 128) | (rest >= 128 ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return [0x30, ...length, ...Array.from({ length: bodyBytes }, () => 0xff)];
}

function scanAll(bytes: readonly number[], chunkBytes: number, maxBytes: number): FrameScan | undefined {
  let scan: FrameScan | undefined = FRAME_SCAN_START;
  for (let at = 0; at < bytes.length && scan !== undefined; at += chunkBytes) {
    scan = scanFrames(scan, Uint8Array.from(bytes.slice(at, at + chunkBytes)), maxBytes);
  }
  return scan;
}

test('whole packets leave nothing open, however they are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 300 })),
      fc.integer({ min: 1, max: 50 }),
      (sizes, chunkBytes) => {
        expect(scanAll(sizes.flatMap(packet), chunkBytes, 300)).toEqual(FRAME_SCAN_START);
      },
    ),
  );
});

test('a packet over the limit is seen when its length is, however it is cut', () => {
  fc.assert(
    fc.property(fc.integer({ min: 301, max: 20_000 }), fc.integer({ min: 1, max: 5 }), (size, chunkBytes) => {
      expect(scanAll([...packet(10), ...packet(size).slice(0, 4)], chunkBytes, 300)).toBeUndefined();
    }),
  );
});

test('a length of more than four bytes is no length', () => {
  expect(scanAll([0x30, 0x80, 0x80, 0x80, 0x80], 5, 2 ** 30)).toBeUndefined();
});

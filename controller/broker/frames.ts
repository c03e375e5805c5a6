/** Where a scan of an MQTT byte stream stands between two chunks. */
export interface FrameScan {
  /** Bytes of the present packet's body that are still to come. */
  readonly bodyLeft: number;
  /** Bytes of the present fixed header that have been seen. */
  readonly headerBytes: number;
  /** The remaining length that they state so far. */
  readonly stated: number;
}

export const FRAME_SCAN_START: FrameScan = { bodyLeft: 0, headerBytes: 0, stated: 0 };

/** The fixed header is one type byte and at most four bytes of length (MQTT 3.1.1, 2.2). */
const MAX_HEADER_BYTES = 5;

/**
 * Follows the fixed headers of a stream of MQTT packets.
 * @returns where the scan stands now, or undefined when a packet announces more than `maxBytes`
 */
export function scanFrames(scan: FrameScan, chunk: Uint8Array, maxBytes: number): FrameScan | undefined {
  let { bodyLeft, headerBytes, stated } = scan;
  let at = 0;
  while (at < chunk.length) {
    if (bodyLeft > 0) {
      const taken = Math.min(bodyLeft, chunk.length - at);
      bodyLeft -= taken;
      at += taken;
      continue;
    }
    const byte = chunk[at] ?? 0;
    at += 1;
    headerBytes += 1;
    if (headerBytes === 1) continue;
    stated += (byte & 0x7f) * 0x80 ** (headerBytes - 2);
    const complete = byte < 0x80;
    if (stated > maxBytes || (!complete && headerBytes === MAX_HEADER_BYTES)) return undefined;
    if (complete) [bodyLeft, headerBytes, stated] = [stated, 0, 0];
  }
  return { bodyLeft, headerBytes, stated };
}

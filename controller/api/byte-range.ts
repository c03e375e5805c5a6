/** Bytes of a file, both ends included. */
export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

const RANGE = /^bytes=(\d{0,15})-(\d{0,15})$/;

/**
 * The one range that a Range header asks for (RFC 9110, 14.2).
 * @param bytes of the whole file
 * @returns undefined for the whole file, also where the header is anything else than one range of bytes, as a server
 * may ignore it; `'unsatisfiable'` for a range outside of the file
 */
export function rangeOf(header: string | undefined, bytes: number): ByteRange | 'unsatisfiable' | undefined {
  const match = RANGE.exec(header ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (first === '' && last === '') return undefined;
  const isSuffix = first === '';
  const from = isSuffix ? Math.max(0, bytes - Number(last)) : Number(first);
  const to = isSuffix || last === '' ? bytes - 1 : Math.min(Number(last), bytes - 1);
  if (!isSuffix && last !== '' && Number(last) < Number(first)) return undefined;
  return from < bytes && from <= to ? { from, to } : 'unsatisfiable';
}

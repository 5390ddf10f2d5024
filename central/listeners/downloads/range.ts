// Reads Range and If-Range (RFC 9110 sections 14.2 and 13.1.5): which part of the content a request wants.

/** The first byte, and the one behind the last. */
interface Part {
  readonly from: number;
  readonly to: number;
}

interface RangeHeaders {
  readonly range?: string | undefined;
  readonly 'if-range'?: string | undefined;
}

/** Undefined: all of it; null: nothing of it. A header that cannot be read, and several ranges, mean all of it. */
export function requestedPart(
  { range, 'if-range': ifRange }: RangeHeaders,
  size: number,
  tag: string,
): Part | null | undefined {
  // A blob has no modification date: only its tag matches.
  if (range === undefined || (ifRange !== undefined && ifRange !== tag)) return undefined;
  const [whole, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/i.exec(range.trim()) ?? [];
  if (whole === undefined || (first === '' && last === '')) return undefined;
  if (first === '') {
    const length = Math.min(Number(last), size);
    return length === 0 ? null : { from: size - length, to: size };
  }
  const from = Number(first);
  const to = last === '' ? size : Math.min(Number(last) + 1, size);
  if (last !== '' && Number(last) < from) return undefined;
  return from >= size ? null : { from, to };
}

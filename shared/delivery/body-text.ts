// Turns the bytes of a request body into the text that they are, or refuses them with the place: decoders replace what
// they cannot read, and that would be stored as if it had been sent.
import { isUtf8 } from 'node:buffer';
import { messageFault } from './errors.ts';

/**
 * JSON has one encoding (RFC 8259 section 8.1): a charset parameter of the content type is ignored. Errors:
 * body_not_utf8.
 */
export function bodyText(body: Buffer): string {
  // RFC 8259 section 8.1 lets a reader ignore a byte order mark. Here every byte that is not JSON is refused.
  if (body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf) {
    throw messageFault('body_not_utf8', { offset: 0, found: 'a byte order mark' });
  }
  if (!isUtf8(body)) {
    const offset = invalidAt(body);
    const byte = (body[offset] ?? 0).toString(16).padStart(2, '0').toUpperCase();
    throw messageFault('body_not_utf8', { offset, found: `0x${byte}, which begins no character` });
  }
  return body.toString('utf8');
}

/** Where the first sequence begins that RFC 3629 section 4 does not allow. */
export function invalidAt(bytes: Buffer): number {
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    if (length === 0) return at;
    at += length;
  }
  return at;
}

function sequenceLength(bytes: Buffer, at: number): number {
  const lead = bytes[at] ?? 0;
  if (lead < 0x80) return 1;
  const length =
    lead >= 0xc2 && lead <= 0xdf ? 2 : lead >= 0xe0 && lead <= 0xef ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
  if (length === 0) return 0;
  const second = bytes[at + 1] ?? 0;
  // Longer than need be, half of a surrogate pair, or behind U+10FFFF.
  if ((lead === 0xe0 && second < 0xa0) || (lead === 0xed && second > 0x9f)) return 0;
  if ((lead === 0xf0 && second < 0x90) || (lead === 0xf4 && second > 0x8f)) return 0;
  for (let next = at + 1; next < at + length; next += 1) if (((bytes[next] ?? 0) & 0xc0) !== 0x80) return 0;
  return length;
}

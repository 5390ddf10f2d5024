// Packs the texts of a run of messages into one body and their lengths, byte for byte, and takes them out again.
import { isAscii } from 'node:buffer';
import { databaseFault } from '../../../../shared/sqlite/errors.ts';
import { bufferOf } from './run-keys.ts';

interface PackedTexts {
  /**
   * The length of each text in bytes, as varints: seven bits a byte, the lowest first, the top bit of all but the last
   * one set.
   */
  readonly lengths: Uint8Array;
  /** The texts in UTF-8, one behind the other: a payload may hold any separator. */
  readonly body: Uint8Array;
}

/** Far more than the length of any message takes. */
const MAX_VARINT_BYTES = 5;
/** Of the last of them. */
const MAX_SCALE = 128 ** (MAX_VARINT_BYTES - 1);
/** In UTF-8, at most. */
const BYTES_PER_UNIT = 3;

/**
 * Packs the texts of one run after the other into the same memory: with new memory for each of them, a quarter of a
 * megabyte, packing costs ten times as much CPU time (measured), most of it for pages and their collection.
 */
export class TextPacker {
  #lengths: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #body = Buffer.alloc(0);

  /** What it gives is valid until the next call. */
  pack(texts: readonly string[]): PackedTexts {
    const joined = texts.join('');
    const mostBytes = joined.length * BYTES_PER_UNIT;
    if (this.#body.length < mostBytes) this.#body = Buffer.allocUnsafeSlow(mostBytes);
    const size = this.#body.write(joined);
    // As many bytes as UTF-16 units: all of it is ASCII.
    return { lengths: this.#packLengths(texts, size === joined.length), body: this.#body.subarray(0, size) };
  }

  #packLengths(texts: readonly string[], arePlain: boolean): Uint8Array {
    const mostBytes = texts.length * MAX_VARINT_BYTES;
    if (this.#lengths.length < mostBytes) this.#lengths = new Uint8Array(mostBytes);
    const packed = this.#lengths;
    let end = 0;
    for (const text of texts) {
      let length = arePlain ? text.length : Buffer.byteLength(text);
      for (; length > 0x7f; length >>>= 7) packed[end++] = (length & 0x7f) | 0x80;
      packed[end++] = length;
    }
    return packed.subarray(0, end);
  }
}

/** The texts from index `from` on, at most `most`. Errors: data_damaged. */
export function unpackTexts(packed: PackedTexts, from = 0, most = Infinity): string[] {
  const lengths = unpackLengths(packed.lengths);
  let at = 0;
  for (const length of lengths.slice(0, from)) at += length;
  const wanted = lengths.slice(from, from + most);
  let end = at;
  for (const length of wanted) end += length;
  if (end > packed.body.length) throw damaged(`a run of events has ${packed.body.length} bytes instead of ${end}`);
  const body = bufferOf(packed.body).subarray(at, end);
  // One text to slice is several times faster than a decoding for each of its parts.
  const plain = isAscii(body) ? body.toString('latin1') : undefined;
  let start = 0;
  return wanted.map((length) => {
    start += length;
    return plain?.slice(start - length, start) ?? body.toString('utf8', start - length, start);
  });
}

/** Errors: data_damaged. */
export function unpackLengths(packed: Uint8Array): number[] {
  const lengths: number[] = [];
  let length = 0;
  let scale = 1;
  for (const byte of packed) {
    if (scale > MAX_SCALE) throw damaged('the length of an event is not one');
    length += (byte & 0x7f) * scale;
    if (byte > 0x7f) scale *= 128;
    else {
      lengths.push(length);
      length = 0;
      scale = 1;
    }
  }
  if (scale > 1) throw damaged('the lengths of a run of events end in the middle of one');
  return lengths;
}

const damaged = (found: string): Error => databaseFault('data_damaged', { path: 'The database', found });

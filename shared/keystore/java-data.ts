// Reads and writes the primitives of java.io.DataInputStream and DataOutputStream that JKS consists of: big-endian
// numbers and "modified UTF-8". Every length is checked against the remaining bytes first; nothing is copied.

/** The bytes end before what they announce. */
export class EndOfData extends Error {}
/** The bytes are there, but are not what the format allows. */
export class BadData extends Error {}

export class DataReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#offset;
  }

  take(length: number, what: string): Buffer {
    if (length > this.left)
      throw new EndOfData(`${what} should be ${length} bytes at offset ${this.#offset}, but ${this.left} are left`);
    this.#offset += length;
    return this.#bytes.subarray(this.#offset - length, this.#offset);
  }

  /** Java's int; the formats here use it for lengths and counts, so a negative one is bad data. */
  count(what: string): number {
    const value = this.take(4, what).readInt32BE();
    if (value < 0) throw new BadData(`${what} is negative (${value})`);
    return value;
  }

  /** Milliseconds since 1970; undefined for a number beyond JavaScript's dates, which decides nothing. */
  date(what: string): Date | undefined {
    const date = new Date(Number(this.take(8, what).readBigInt64BE()));
    return Number.isNaN(date.getTime()) ? undefined : date;
  }

  /** DataInput.readUTF: two bytes of length, then UTF-16 units in one to three bytes each; zero is C0 80. */
  utf(what: string): string {
    const bytes = this.take(this.take(2, what).readUInt16BE(), what);
    const units: string[] = [];
    for (let i = 0; i < bytes.length;) {
      const a = bytes[i] as number;
      const length = a < 0x80 ? 1 : a >> 5 === 0b110 ? 2 : a >> 4 === 0b1110 ? 3 : 0;
      const b = bytes[i + 1] ?? 0;
      const c = bytes[i + 2] ?? 0;
      const tails = length < 2 || (b >> 6 === 0b10 && (length < 3 || c >> 6 === 0b10));
      if (length === 0 || i + length > bytes.length || !tails)
        throw new BadData(`${what} is not text in Java's modified UTF-8`);
      units.push(
        String.fromCharCode(
          length === 1
            ? a
            : length === 2
              ? ((a & 0x1f) << 6) | (b & 0x3f)
              : ((a & 0x0f) << 12) | ((b & 0x3f) << 6) | (c & 0x3f),
        ),
      );
      i += length;
    }
    return units.join('');
  }
}

export class DataWriter {
  readonly #parts: Buffer[] = [];

  raw(bytes: Uint8Array): this {
    this.#parts.push(Buffer.from(bytes));
    return this;
  }

  int(value: number): this {
    const part = Buffer.alloc(4);
    part.writeUInt32BE(value);
    return this.raw(part);
  }

  date(value: Date): this {
    const part = Buffer.alloc(8);
    part.writeBigInt64BE(BigInt(value.getTime()));
    return this.raw(part);
  }

  utf(text: string): this {
    const bytes: number[] = [];
    for (let i = 0; i < text.length; i += 1) {
      const unit = text.charCodeAt(i);
      if (unit !== 0 && unit < 0x80) bytes.push(unit);
      else if (unit < 0x800) bytes.push(0xc0 | (unit >> 6), 0x80 | (unit & 0x3f));
      else bytes.push(0xe0 | (unit >> 12), 0x80 | ((unit >> 6) & 0x3f), 0x80 | (unit & 0x3f));
    }
    if (bytes.length > 0xffff) throw new BadData('the text is longer than 65535 bytes');
    const length = Buffer.alloc(2);
    length.writeUInt16BE(bytes.length);
    return this.raw(length).raw(Buffer.from(bytes));
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

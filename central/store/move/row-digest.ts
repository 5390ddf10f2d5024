// A digest of the rows of a table, whatever their order: both engines give the same for the same rows.
import { createHash } from 'node:crypto';

export class RowDigest {
  #rows = 0;
  #sum = 0n;

  /** The values of one row, in the order of the columns. */
  add(values: readonly unknown[]): void {
    const hash = createHash('sha256');
    for (const value of values) {
      const bytes = bytesOf(value);
      // The length in front: two texts are not the same as one of both.
      hash.update(`${kindOf(value)}${bytes.length}:`).update(bytes);
    }
    const digest = hash.digest();
    this.#rows += 1;
    this.#sum = BigInt.asUintN(128, this.#sum + (digest.readBigUInt64BE(0) << 64n) + digest.readBigUInt64BE(8));
  }

  get rows(): number {
    return this.#rows;
  }

  get hex(): string {
    return this.#sum.toString(16).padStart(32, '0');
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'n';
  return value instanceof Uint8Array ? 'b' : typeof value === 'string' ? 't' : 'i';
}

function bytesOf(value: unknown): Uint8Array {
  if (value === null) return new Uint8Array();
  return value instanceof Uint8Array ? value : Buffer.from(`${value as number | string}`, 'utf8');
}

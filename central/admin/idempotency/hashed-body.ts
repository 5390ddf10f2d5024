// A body of any length that is hashed as it passes.
import { createHash } from 'node:crypto';
import { pipeline, Transform, type Readable } from 'node:stream';

export class HashedBody extends Transform {
  readonly #digest: () => string;

  constructor(source: Readable) {
    const hash = createHash('sha256');
    super({
      transform(piece: Buffer, _encoding, done) {
        hash.update(piece);
        done(null, piece);
      },
    });
    this.#digest = () => hash.digest('hex');
    // A connection that is cut ends the body with an error, which its reader gets.
    pipeline(source, this, () => undefined);
  }

  /**
   * SHA-256 of the whole body, in hex, once what is left of it was read; call it once. Undefined: more than `maxBytes`
   * were left, or the connection was cut.
   */
  async digest(maxBytes: number): Promise<string | undefined> {
    let left = maxBytes;
    try {
      for await (const piece of this) {
        left -= (piece as Buffer).length;
        if (left < 0) return undefined;
      }
    } catch {
      return undefined;
    }
    return this.#digest();
  }
}

// Files of releases as zstd, for agents that request them so: compressed once, one at a time, and kept while there is
// room. Without room a file is sent as it is.
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import { Mutex } from '../../../shared/mutex.ts';
import { isCompressible, MAX_WINDOW_LOG } from '../../../shared/releases/compressed.ts';

const compress = promisify(zstdCompress);
const PARAMS = { [constants.ZSTD_c_compressionLevel]: 10, [constants.ZSTD_c_windowLog]: MAX_WINDOW_LOG };
/** Of all that is kept, open downloads included. */
export const MAX_KEPT_BYTES = 8 * 1024 * 1024;
/** Files that are remembered; most are small, or do not become smaller. */
const MAX_KEPT = 1_000;

interface Packed {
  readonly bytes: Buffer;
  /** SHA-256 of `bytes`. */
  readonly sha256: string;
}

interface Kept {
  readonly packed: Packed | undefined;
  users: number;
}

export class CompressedFiles {
  readonly #read: (sha256: string, size: number) => Promise<Buffer>;
  /** By SHA-256 of the file, the one that was used last at the end; undefined: it does not become smaller. */
  readonly #kept = new Map<string, Kept>();
  readonly #turns = new Mutex();

  /** `read`: the whole content of a file. */
  constructor(read: (sha256: string, size: number) => Promise<Buffer>) {
    this.#read = read;
  }

  /**
   * The file as zstd, with what to call when it is not used any more; undefined: it is to be sent as it is. `signal`:
   * nothing waits for it.
   */
  async open(
    sha256: string,
    size: number,
    signal: AbortSignal,
  ): Promise<{ readonly packed: Packed; readonly close: () => void } | undefined> {
    if (!isCompressible(size)) return undefined;
    return await this.#turns.runExclusive(async () => {
      if (signal.aborted) return undefined;
      const kept = this.#kept.get(sha256) ?? (await this.#pack(sha256, size));
      if (kept === undefined) return undefined;
      this.#kept.delete(sha256);
      this.#kept.set(sha256, kept);
      const { packed } = kept;
      if (packed === undefined) return undefined;
      kept.users += 1;
      return { packed, close: () => (kept.users -= 1) };
    });
  }

  /** Undefined: there is no room. */
  async #pack(sha256: string, size: number): Promise<Kept | undefined> {
    if (!this.#makeRoom(size)) return undefined;
    const bytes = await compress(await this.#read(sha256, size), { params: PARAMS });
    const packed = { bytes, sha256: createHash('sha256').update(bytes).digest('hex') };
    return { packed: bytes.length < size ? packed : undefined, users: 0 };
  }

  /** Forgets what is not in use, oldest first, until so many bytes fit. */
  #makeRoom(bytes: number): boolean {
    let total = [...this.#kept.values()].reduce((sum, { packed }) => sum + (packed?.bytes.length ?? 0), bytes);
    for (const [sha256, { packed, users }] of this.#kept) {
      if (total <= MAX_KEPT_BYTES && this.#kept.size < MAX_KEPT) return true;
      if (users > 0) continue;
      this.#kept.delete(sha256);
      total -= packed?.bytes.length ?? 0;
    }
    return total <= MAX_KEPT_BYTES && this.#kept.size < MAX_KEPT;
  }
}

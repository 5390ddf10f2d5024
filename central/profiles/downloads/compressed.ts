// Files of releases as zstd, for agents that request them so: compressed one at a time, and kept while there is room.
// Without room, or when the agent or all together made Central compress too much, a file is sent as it is.
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import { Mutex } from '../../../shared/mutex.ts';
import { setNewest } from '../../../shared/recent-entries.ts';
import { isCompressible, MAX_WINDOW_LOG } from '../../../shared/releases/compressed.ts';
import { TokenBucket } from '../../../shared/token-bucket.ts';

const compress = promisify(zstdCompress);
/** zlib's parameters. */
export const COMPRESSION = { [constants.ZSTD_c_compressionLevel]: 10, [constants.ZSTD_c_windowLog]: MAX_WINDOW_LOG };
/** Of all that is kept, open downloads included. */
export const MAX_KEPT_BYTES = 8 * 1024 * 1024;
/** Files that are remembered; most are small, or do not become smaller. */
const MAX_KEPT = 1_000;
/**
 * Bytes of files that one agent makes Central compress, at once and per second: files that were forgotten for others
 * are compressed again, as often as they are requested. All files of a release of the software have less.
 */
const AGENT_BYTES = { burst: 64 * 1024 * 1024, perSecond: 32 * 1024 };
/** Of all agents together: some 10 s of one core, and then the twentieth part of it. */
const BYTES_IN_ALL = { burst: 256 * 1024 * 1024, perSecond: 1024 * 1024 };
/** Agents that are remembered; the one that requested nothing for the longest time is forgotten. */
const MAX_AGENTS = 10_000;

interface Rates {
  readonly ofAgent: typeof AGENT_BYTES;
  readonly inAll: typeof BYTES_IN_ALL;
}

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
  readonly #clock: () => number;
  readonly #rates: Rates;
  readonly #inAll: TokenBucket;
  readonly #agents = new Map<string, TokenBucket>();
  /** By SHA-256 of the file, the one that was used last at the end; undefined: it does not become smaller. */
  readonly #kept = new Map<string, Kept>();
  readonly #turns = new Mutex();

  /** `read`: the whole content of a file. `clock`: monotonic, in milliseconds. */
  constructor(
    read: (sha256: string, size: number) => Promise<Buffer>,
    clock: () => number,
    rates: Rates = { ofAgent: AGENT_BYTES, inAll: BYTES_IN_ALL },
  ) {
    this.#read = read;
    this.#clock = clock;
    this.#rates = rates;
    this.#inAll = new TokenBucket(rates.inAll.burst, rates.inAll.perSecond, clock());
  }

  /**
   * The file as zstd for an agent, with what to call when it is not used any more; undefined: it is to be sent as it is.
   * `signal`: nothing waits for it.
   */
  async open(
    { sha256, size, agentId }: { readonly sha256: string; readonly size: number; readonly agentId: string },
    signal: AbortSignal,
  ): Promise<{ readonly packed: Packed; readonly close: () => void } | undefined> {
    if (!isCompressible(size)) return undefined;
    return await this.#turns.runExclusive(async () => {
      if (signal.aborted) return undefined;
      const known = this.#kept.get(sha256);
      const kept = known ?? (this.#mayPack(agentId, size) ? await this.#pack(sha256, size) : undefined);
      if (kept === undefined) return undefined;
      this.#kept.delete(sha256);
      this.#kept.set(sha256, kept);
      const { packed } = kept;
      if (packed === undefined) return undefined;
      kept.users += 1;
      return { packed, close: () => (kept.users -= 1) };
    });
  }

  /** Counts the bytes of a file for the agent and for all, if both may have so many more. */
  #mayPack(agentId: string, size: number): boolean {
    const now = this.#clock();
    const { burst, perSecond } = this.#rates.ofAgent;
    const ofAgent = this.#agents.get(agentId) ?? new TokenBucket(burst, perSecond, now);
    setNewest(this.#agents, agentId, ofAgent, MAX_AGENTS);
    if (!ofAgent.take(size, now)) return false;
    if (this.#inAll.take(size, now)) return true;
    ofAgent.giveBack(size);
    return false;
  }

  /** Undefined: there is no room. */
  async #pack(sha256: string, size: number): Promise<Kept | undefined> {
    if (!this.#makeRoom(size)) return undefined;
    const bytes = await compress(await this.#read(sha256, size), { params: COMPRESSION });
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

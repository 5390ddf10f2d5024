// Paces downloads: so many bytes per second for each agent and in all, in small pieces, a few in each turn of the event
// loop. So they yield to messages and heartbeats, and every agent has its turn.
import { setNewest } from '../../../shared/recent-entries.ts';
import { TokenBucket } from '../../../shared/token-bucket.ts';

/** What is sent in one go; also what a rate may exceed at once. */
export const PIECE_BYTES = 64 * 1024;
/** 256 KiB, a fraction of a millisecond with TLS. */
const PIECES_PER_TURN = 4;
/** Agents whose rate is remembered between two downloads. One that is forgotten begins with one piece. */
const MAX_AGENTS = 10_000;

/** Bytes per second; 0: no limit. */
export interface DownloadRates {
  readonly ofAgent: number;
  readonly inAll: number;
}

interface PaceNeeds {
  readonly rates: () => DownloadRates;
  /** Monotonic, in milliseconds. */
  readonly clock: () => number;
  readonly after: (ms: number, run: () => void) => void;
  readonly nextTurn: (run: () => void) => void;
}

interface Waiter {
  readonly bytes: number;
  readonly signal: AbortSignal;
  readonly go: () => void;
}

export class DownloadPace {
  readonly #needs: PaceNeeds;
  readonly #agents = new Map<string, Rate>();
  #inAll: Rate | undefined;
  /** In order of arrival: each download has one piece in here. */
  readonly #waiting: Waiter[] = [];
  #inTurn = 0;
  #scheduled = false;
  /** The rate of all together is used up. */
  #isLimited = false;
  /** Downloads whose agent has used up its rate. */
  #slowed = 0;

  constructor(needs: PaceNeeds) {
    this.#needs = needs;
  }

  /** Downloads that wait for a rate now. */
  get throttled(): number {
    return this.#slowed + (this.#isLimited ? this.#waiting.length : 0);
  }

  /** Resolves when so many bytes (at most a piece) may be sent to the agent, or when `signal` ends the download. */
  async take(agentId: string, bytes: number, signal: AbortSignal): Promise<void> {
    const { rates, clock, after } = this.#needs;
    for (;;) {
      const rate = rateOf(this.#agents.get(agentId), rates().ofAgent, clock());
      setNewest(this.#agents, agentId, rate, MAX_AGENTS);
      const ms = rate.take(bytes, clock());
      if (ms === 0 || signal.aborted) break;
      this.#slowed += 1;
      await new Promise<void>((resolve) => after(ms, resolve)).finally(() => (this.#slowed -= 1));
    }
    if (signal.aborted) return;
    await new Promise<void>((go) => {
      this.#waiting.push({ bytes, signal, go });
      this.#pump();
    });
  }

  #pump(): void {
    const { rates, clock, after, nextTurn } = this.#needs;
    if (this.#scheduled) return;
    while (this.#inTurn < PIECES_PER_TURN) {
      const [next] = this.#waiting;
      this.#isLimited = false;
      if (next === undefined) break;
      this.#inAll = rateOf(this.#inAll, rates().inAll, clock());
      const ms = next.signal.aborted ? 0 : this.#inAll.take(next.bytes, clock());
      this.#isLimited = ms > 0;
      if (ms > 0) return this.#resume((run) => after(ms, run));
      this.#waiting.shift();
      this.#inTurn += 1;
      next.go();
    }
    if (this.#inTurn > 0) this.#resume(nextTurn);
  }

  #resume(schedule: (run: () => void) => void): void {
    this.#scheduled = true;
    schedule(() => {
      this.#scheduled = false;
      this.#inTurn = 0;
      this.#pump();
    });
  }
}

/** The present one while its rate is set, else a new one. */
function rateOf(present: Rate | undefined, bytesPerSecond: number, now: number): Rate {
  return present?.bytesPerSecond === bytesPerSecond ? present : new Rate(bytesPerSecond, now);
}

class Rate {
  readonly bytesPerSecond: number;
  readonly #bucket: TokenBucket | undefined;

  constructor(bytesPerSecond: number, now: number) {
    this.bytesPerSecond = bytesPerSecond;
    // A tenth of a second at once, so that a timer that is late loses nothing.
    const burst = Math.max(PIECE_BYTES, bytesPerSecond / 10);
    this.#bucket = bytesPerSecond === 0 ? undefined : new TokenBucket(burst, bytesPerSecond, now);
  }

  /** 0: taken; else nothing was taken, and after so many milliseconds there is room. */
  take(bytes: number, now: number): number {
    if (this.#bucket === undefined || this.#bucket.take(bytes, now)) return 0;
    return Math.max(1, Math.ceil(this.#bucket.secondsUntil(bytes, now) * 1000));
  }
}

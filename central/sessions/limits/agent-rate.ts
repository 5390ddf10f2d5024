// Bounds how often each agent may log in and request certificates, which cost Central commits and signatures. Counts
// only what the agent itself has signed, so that a stranger who knows its id cannot use up its share.
import { TokenBucket } from '../../../shared/token-bucket.ts';

/** Enough for a line that flaps for a minute; clones are detected after eight logins (central/store/agents/boot-history.ts). */
export const LOGIN_BURST = 40;
/** An agent waits longer after each failure; this is for a line that fails every few seconds. */
export const SECONDS_PER_LOGIN = 3;

/** An agent retries after one minute, then after twice that time, up to six hours (agent/renewal/renewal.ts). */
export const RENEWAL_BURST = 12;
export const SECONDS_PER_RENEWAL = 600;

/** The same agent is reported again after this time. */
const QUIET_MS = 60_000;
/** Full buckets are dropped when there are more than this; there is never more than one for each registered agent. */
const FORGET_ABOVE = 1_000;

interface Use {
  readonly bucket: TokenBucket;
  reportedAt: number;
}

export class AgentRate {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #now: () => number;
  readonly #agents = new Map<string, Use>();
  #forgetAbove = FORGET_ABOVE;

  constructor(burst: number, secondsEach: number, now: () => number) {
    this.#burst = burst;
    this.#perSecond = 1 / secondsEach;
    this.#now = now;
  }

  /** Agents that are remembered. */
  get size(): number {
    return this.#agents.size;
  }

  /**
   * Whole seconds until the agent may act again; 0: now. Counts nothing, so that it may be called before the agent is
   * authenticated.
   */
  secondsUntilAllowed(agentId: string): number {
    return Math.ceil(this.#agents.get(agentId)?.bucket.secondsUntil(1, this.#now()) ?? 0);
  }

  /** Counts one act; false when it is not allowed now. */
  take(agentId: string): boolean {
    const now = this.#now();
    let use = this.#agents.get(agentId);
    if (use === undefined) {
      this.#forget(now);
      use = { bucket: new TokenBucket(this.#burst, this.#perSecond, now), reportedAt: Number.NEGATIVE_INFINITY };
      this.#agents.set(agentId, use);
    }
    return use.bucket.take(1, now);
  }

  /** Takes one back that another bound covers. */
  giveBack(agentId: string): void {
    this.#agents.get(agentId)?.bucket.giveBack(1);
  }

  /** True once per minute and agent: then the refusal is logged. */
  isNews(agentId: string): boolean {
    const use = this.#agents.get(agentId);
    if (use === undefined || this.#now() - use.reportedAt < QUIET_MS) return false;
    use.reportedAt = this.#now();
    return true;
  }

  #forget(now: number): void {
    if (this.#agents.size < this.#forgetAbove) return;
    for (const [id, { bucket }] of this.#agents) if (bucket.isFull(now)) this.#agents.delete(id);
    // Not for each new one while all are in use.
    this.#forgetAbove = Math.max(FORGET_ABOVE, this.#agents.size * 2);
  }
}

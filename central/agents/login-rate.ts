// Bounds how often one agent may log in: each login costs Central a commit, and the end of the session before it another one. Only hellos
// that the agent signed count, so that a stranger who knows its id cannot use up its share.
import { TokenBucket } from './token-bucket.ts';

/** A line that flaps for a minute; clones that take turns are found after eight logins (clones.ts). */
export const LOGIN_BURST = 40;
/** An agent of ours waits longer after each failure; this is for a line that fails every few seconds. */
export const SECONDS_PER_LOGIN = 3;
/** The same agent is reported again after this time. */
const QUIET_MS = 60_000;
/** Buckets that are full are forgotten when there are more than this; there is never more than one for each registered agent. */
const FORGET_ABOVE = 1_000;

interface Logins {
  readonly bucket: TokenBucket;
  reportedAt: number;
}

export class LoginRate {
  readonly #now: () => number;
  readonly #agents = new Map<string, Logins>();
  #forgetAbove = FORGET_ABOVE;

  constructor(now: () => number) {
    this.#now = now;
  }

  get size(): number {
    return this.#agents.size;
  }

  /** Whole seconds until the agent may log in; 0: now. Takes nothing, so that it may be asked before anything is proven. */
  secondsUntilAllowed(agentId: string): number {
    return Math.ceil(this.#agents.get(agentId)?.bucket.secondsUntil(1, this.#now()) ?? 0);
  }

  /** Counts a proven hello of a registered agent; false: it may not log in now. */
  take(agentId: string): boolean {
    const now = this.#now();
    let logins = this.#agents.get(agentId);
    if (logins === undefined) {
      this.#forget(now);
      logins = { bucket: new TokenBucket(LOGIN_BURST, 1 / SECONDS_PER_LOGIN, now), reportedAt: Number.NEGATIVE_INFINITY };
      this.#agents.set(agentId, logins);
    }
    return logins.bucket.take(1, now);
  }

  /** True once per minute and agent: its logins are refused, which is worth a line. */
  isNews(agentId: string): boolean {
    const logins = this.#agents.get(agentId);
    if (logins === undefined || this.#now() - logins.reportedAt < QUIET_MS) return false;
    logins.reportedAt = this.#now();
    return true;
  }

  #forget(now: number): void {
    if (this.#agents.size < this.#forgetAbove) return;
    for (const [id, { bucket }] of this.#agents) if (bucket.isFull(now)) this.#agents.delete(id);
    // Not again for each that comes, where all of them are in use.
    this.#forgetAbove = Math.max(FORGET_ABOVE, this.#agents.size * 2);
  }
}

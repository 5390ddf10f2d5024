// API tokens that the store confirmed lately, by which what needs nothing of the store is answered while it is away: the
// metrics say so then.
import type { ApiTokenRecord } from '../store/token-store.ts';
import { isSecret } from './secrets.ts';

const MOST = 1_000;
/** A token that was deleted meanwhile, where this process could not hear of it, is accepted no longer than that. */
const REMEMBERED_MS = 24 * 3_600_000;

export class RememberedTokens {
  readonly #now: () => number;
  /** By id, the one that was confirmed last at the end. */
  readonly #confirmed = new Map<string, { readonly record: ApiTokenRecord; readonly at: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  keep(record: ApiTokenRecord): void {
    this.#confirmed.delete(record.id);
    this.#confirmed.set(record.id, { record, at: this.#now() });
    const [oldest] = this.#confirmed.keys();
    if (this.#confirmed.size > MOST && oldest !== undefined) this.#confirmed.delete(oldest);
  }

  forget(id: string): void {
    this.#confirmed.delete(id);
  }

  /** Undefined: it was not confirmed within a day, or the secret is another one. */
  find(id: string, secret: string): ApiTokenRecord | undefined {
    const found = this.#confirmed.get(id);
    if (found === undefined || this.#now() - found.at > REMEMBERED_MS) return undefined;
    return isSecret(secret, found.record.hash) ? found.record : undefined;
  }
}

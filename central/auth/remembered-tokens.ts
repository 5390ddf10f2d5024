// Looks API tokens up. Those that the store confirmed lately are remembered: what needs nothing of the store is answered
// to them while it is away, above all the metrics, which say so.
import { isCoded } from '../../shared/errors.ts';
import type { ApiTokenRecord, TokenStore } from '../store/token-store.ts';
import { isSecret } from './secrets.ts';

const MOST = 1_000;
/** A token that was deleted meanwhile, where this process could not hear of it, is accepted no longer than that. */
const REMEMBERED_MS = 24 * 3_600_000;

export class RememberedTokens {
  readonly #tokens: Pick<TokenStore, 'getApiToken'>;
  readonly #now: () => number;
  /** By id, the one that was confirmed last at the end. */
  readonly #confirmed = new Map<string, { readonly record: ApiTokenRecord; readonly at: number }>();

  constructor(tokens: Pick<TokenStore, 'getApiToken'>, now: () => number) {
    this.#tokens = tokens;
    this.#now = now;
  }

  /** The record of a token with the right secret, expired or not, as the store has it. */
  async find(id: string, secret: string): Promise<ApiTokenRecord | undefined> {
    const found = await this.#tokens.getApiToken(id);
    if (found === undefined) this.forget(id);
    if (found === undefined || !isSecret(secret, found.hash)) return undefined;
    this.#confirmed.delete(id);
    this.#confirmed.set(id, { record: found, at: this.#now() });
    const [oldest] = this.#confirmed.keys();
    if (this.#confirmed.size > MOST && oldest !== undefined) this.#confirmed.delete(oldest);
    return found;
  }

  /**
   * As `find`; while the store is away, as it confirmed it within a day. Errors: store_away and store_away_unknown, if it
   * did not.
   */
  async findRemembered(id: string, secret: string): Promise<ApiTokenRecord | undefined> {
    try {
      return await this.find(id, secret);
    } catch (error) {
      const known = isCoded(error, 'store_away', 'store_away_unknown') ? this.#confirmed.get(id) : undefined;
      if (known === undefined || this.#now() - known.at > REMEMBERED_MS || !isSecret(secret, known.record.hash))
        throw error;
      return known.record;
    }
  }

  forget(id: string): void {
    this.#confirmed.delete(id);
  }
}

// Keeps the records of API tokens that were used, until one changes: a token that was removed is unknown from the
// answer to its removal on. An unknown token is read from the store each time: strangers cannot fill this.
import type { ApiTokenRecord } from '../token-store.ts';

export class KnownTokens {
  /** At most as many as there are (space/bounds.ts). */
  readonly #records = new Map<string, ApiTokenRecord>();
  #changes = 0;
  #changing = 0;

  async get(id: string, read: () => Promise<ApiTokenRecord | undefined>): Promise<ApiTokenRecord | undefined> {
    const known = this.#records.get(id);
    if (known !== undefined) return known;
    const changes = this.#changes;
    const record = await read();
    // A change in between may have come before or after the read.
    if (record !== undefined && this.#changing === 0 && this.#changes === changes) this.#records.set(id, record);
    return record;
  }

  /** Runs what changes this token. */
  async change<T>(id: string, act: () => Promise<T>): Promise<T> {
    this.#changing += 1;
    this.#records.delete(id);
    try {
      return await act();
    } finally {
      this.#changing -= 1;
      this.#changes += 1;
    }
  }
}

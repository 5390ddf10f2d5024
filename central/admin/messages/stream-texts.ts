// Bounds the texts of streams that are being made, or that their clients have not taken yet: of one token, and in all.
// A stream that has nothing to say holds none, so that thousands of them keep no other request out.
import { setTimeout as delay } from 'node:timers/promises';

/** Each is a page of at most 8 MiB; a quarter of the streams that a token may have. */
export const MAX_TEXTS_OF_TOKEN = 32;
/** Of eight tokens whose clients have all stopped reading. They are cut after half a minute. */
export const MAX_TEXTS_IN_ALL = 256;
const LOOK_MS = 50;

export class StreamTexts {
  readonly #ofTokens = new Map<string, number>();
  #inAll = 0;

  /**
   * Resolves when the token may have one more text; call what it gives, once, when the text has been taken. Undefined:
   * `gone` was aborted before.
   */
  async enter(tokenId: string, gone: AbortSignal): Promise<(() => void) | undefined> {
    while (!gone.aborted) {
      const held = this.#ofTokens.get(tokenId) ?? 0;
      if (held < MAX_TEXTS_OF_TOKEN && this.#inAll < MAX_TEXTS_IN_ALL) {
        this.#add(tokenId, 1);
        return () => this.#add(tokenId, -1);
      }
      await delay(LOOK_MS, undefined, { signal: gone }).catch(() => undefined);
    }
    return undefined;
  }

  #add(tokenId: string, count: number): void {
    this.#inAll += count;
    const held = (this.#ofTokens.get(tokenId) ?? 0) + count;
    if (held > 0) this.#ofTokens.set(tokenId, held);
    else this.#ofTokens.delete(tokenId);
  }
}

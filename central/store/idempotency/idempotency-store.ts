// The part of the store's interface for requests with an Idempotency-Key: which request of an API token had a key, and
// how it was answered. The rules of store.ts apply.

/** How long a key is kept. */
export const KEPT_MS = 86_400_000;
/** The oldest of a token, and then of all, give way to newer ones. An answer has at most 256 KiB. */
export const MAX_KEYS_OF_TOKEN = 1_000;
export const MAX_KEYS_IN_ALL = 4_000;
export const MAX_BYTES_OF_TOKEN = 4 * 1024 * 1024;
export const MAX_BYTES_IN_ALL = 16 * 1024 * 1024;

export interface KeyedRequest {
  /** The API token that sent it. */
  readonly tokenId: string;
  readonly key: string;
  /** SHA-256 of method, URL and the scope of the token. */
  readonly head: string;
  /** SHA-256 of the body; null: it was not read to its end. */
  readonly body: string | null;
  readonly startedAt: number;
}

export interface KeptAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON text without secrets; null: it is longer than what is kept. */
  readonly text: string | null;
}

/** `answer` null: it has not been answered, so that nothing is known of its outcome. */
export interface KnownRequest extends KeyedRequest {
  readonly answer: KeptAnswer | null;
}

export interface IdempotencyStore {
  /** Keeps the key of a request that begins. Gives the one of the last 24 hours that has it; then nothing changed. */
  begin(request: KeyedRequest): Promise<KnownRequest | undefined>;
  /** Keeps the answer. A key that was forgotten meanwhile stays forgotten. */
  finish(tokenId: string, key: string, body: string, answer: KeptAnswer): Promise<void>;
  /** Of a request that was refused, and changed nothing. */
  forget(tokenId: string, key: string): Promise<void>;
}

// Sign-ins that a browser has begun and the provider has not answered yet. Each is taken once. They are in memory: a
// restart of Central ends them, and they are bounded by address.
import { randomBytes } from 'node:crypto';
import { addressBlock } from '../address-rules.ts';

/** Passwords, a second factor, a forgotten phone. */
export const PENDING_MS = 600_000;
/** Of one address. Behind a reverse proxy all browsers share one. */
export const MAX_PENDING_OF_BLOCK = 100;
export const MAX_PENDING = 2_000;
const ID_BYTES = 32;

/** What the answer of the provider is compared with. */
export interface Expected {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  /** The session that the browser had. */
  readonly replaced: string | undefined;
}

interface Pending {
  readonly expected: Expected;
  readonly expiresAt: number;
}

export class PendingSignIns {
  readonly #now: () => number;
  /** By block, the oldest first. */
  readonly #blocks = new Map<string, Map<string, Pending>>();
  #size = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  get size(): number {
    return this.#size;
  }

  /** Gives the id, which only the browser learns. Where there are too many, the oldest of the largest block gives way. */
  add(address: string, expected: Expected): string {
    this.#expire();
    const name = addressBlock(address);
    const block = this.#blocks.get(name) ?? new Map<string, Pending>();
    this.#blocks.set(name, block);
    const id = randomBytes(ID_BYTES).toString('base64url');
    block.set(id, { expected, expiresAt: this.#now() + PENDING_MS });
    this.#size += 1;
    if (block.size > MAX_PENDING_OF_BLOCK) this.#dropOldest(block);
    if (this.#size > MAX_PENDING) this.#dropOldest(this.#largest());
    return id;
  }

  /** Takes it: it is not known any more. Undefined: it is not known, or has expired. */
  take(id: string): Expected | undefined {
    for (const [name, block] of this.#blocks) {
      const pending = block.get(id);
      if (pending === undefined) continue;
      block.delete(id);
      this.#size -= 1;
      if (block.size === 0) this.#blocks.delete(name);
      return pending.expiresAt > this.#now() ? pending.expected : undefined;
    }
    return undefined;
  }

  #expire(): void {
    const now = this.#now();
    for (const [name, block] of this.#blocks) {
      for (const [id, { expiresAt }] of block) {
        if (expiresAt > now) break;
        block.delete(id);
        this.#size -= 1;
      }
      if (block.size === 0) this.#blocks.delete(name);
    }
  }

  #largest(): Map<string, Pending> {
    let largest = new Map<string, Pending>();
    for (const block of this.#blocks.values()) if (block.size > largest.size) largest = block;
    return largest;
  }

  #dropOldest(block: Map<string, Pending>): void {
    const [oldest] = block.keys();
    if (oldest !== undefined && block.delete(oldest)) this.#size -= 1;
  }
}

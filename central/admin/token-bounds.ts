// Bounds what one API token may have in progress at once, so that a program that leaks requests, or a stolen token, takes no other
// token's share. What each request may cost is bounded by its route; what a connection may hold, by central/listeners.
import type { FastifyReply } from 'fastify';
import { adminFault } from './errors.ts';

/**
 * A program that sends commands over 64 connections and one that waits for events beside it fit; at two pages of 8 MiB for each request
 * in progress, one token holds no more than a fraction of the memory that requests of all tokens may.
 */
export const MAX_REQUESTS_OF_TOKEN = 128;

export class TokenBounds {
  readonly #inProgress = new Map<string, number>();

  /** Counts the request until its answer is out or its connection is gone. Errors: too_many_in_progress. */
  enter(tokenId: string, reply: FastifyReply): void {
    const count = this.#inProgress.get(tokenId) ?? 0;
    if (count >= MAX_REQUESTS_OF_TOKEN) throw adminFault('too_many_in_progress', { count, allowed: MAX_REQUESTS_OF_TOKEN });
    this.#inProgress.set(tokenId, count + 1);
    // `close` follows every answer, also one that a cut connection interrupted.
    reply.raw.once('close', () => this.#leave(tokenId));
  }

  #leave(tokenId: string): void {
    const count = this.#inProgress.get(tokenId) ?? 0;
    if (count > 1) this.#inProgress.set(tokenId, count - 1);
    else this.#inProgress.delete(tokenId);
  }
}

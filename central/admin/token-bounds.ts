// Bounds what one API token may have in progress at once, so that a program that leaks requests, or a stolen token,
// takes no other token's share. What each request may cost is bounded by its route; what a connection may hold, by
// central/listeners.
import type { IncomingMessage } from 'node:http';
import type { FastifyReply } from 'fastify';
import { whenClosed } from '../../shared/http/closed.ts';
import { adminFault } from './errors.ts';

/**
 * A program that sends commands over 64 connections and one that waits for events beside it fit; at two pages of 8 MiB
 * for each request in progress, one token holds no more than a fraction of the memory that requests of all tokens may.
 */
export const MAX_REQUESTS_OF_TOKEN = 128;

/**
 * Bodies that are collected at once, each until it is answered: eight of the largest. They may take a minute to come.
 */
const MAX_BODY_BYTES_OF_TOKEN = 64 * 1024 * 1024;
const MAX_BODY_BYTES_IN_ALL = 2 * MAX_BODY_BYTES_OF_TOKEN;

export class TokenBounds {
  readonly #bodies = new Map<string, number>();
  #bodiesInAll = 0;
  readonly #inProgress = new Map<string, number>();

  /** Counts the request until its answer is out or its connection is gone. Errors: too_many_in_progress. */
  enter(tokenId: string, reply: FastifyReply): void {
    const count = this.#inProgress.get(tokenId) ?? 0;
    if (count >= MAX_REQUESTS_OF_TOKEN)
      throw adminFault('too_many_in_progress', { count, allowed: MAX_REQUESTS_OF_TOKEN });
    this.#inProgress.set(tokenId, count + 1);
    whenClosed(reply.raw, () => this.#leave(tokenId));
  }

  /** Counts the body that a request announces, at most `limit`. Errors: too_much_in_progress. */
  expectBody(tokenId: string, { headers }: IncomingMessage, limit: number, reply: FastifyReply): void {
    const bytes = headers['transfer-encoding'] === undefined ? Number(headers['content-length'] ?? 0) : limit;
    // A longer one is refused by its length; what has no limit is a stream that passes through.
    if (bytes === 0 || bytes > limit || limit > MAX_BODY_BYTES_OF_TOKEN) return;
    const held = this.#bodies.get(tokenId) ?? 0;
    if (held + bytes > MAX_BODY_BYTES_OF_TOKEN || this.#bodiesInAll + bytes > MAX_BODY_BYTES_IN_ALL) {
      throw adminFault('too_much_in_progress', {
        held,
        bytes,
        ofToken: MAX_BODY_BYTES_OF_TOKEN,
        inAll: MAX_BODY_BYTES_IN_ALL,
      });
    }
    this.#addBody(tokenId, bytes);
    whenClosed(reply.raw, () => this.#addBody(tokenId, -bytes));
  }

  #addBody(tokenId: string, bytes: number): void {
    this.#bodiesInAll += bytes;
    const held = (this.#bodies.get(tokenId) ?? 0) + bytes;
    if (held > 0) this.#bodies.set(tokenId, held);
    else this.#bodies.delete(tokenId);
  }

  #leave(tokenId: string): void {
    const count = this.#inProgress.get(tokenId) ?? 0;
    if (count > 1) this.#inProgress.set(tokenId, count - 1);
    else this.#inProgress.delete(tokenId);
  }
}

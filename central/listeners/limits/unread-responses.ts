// Bounds the memory of responses that clients have not read yet, per block of addresses and in all; and cuts large ones
// into slices, so that a connection holds one or two slices and not the whole.
import { Readable } from 'node:stream';

/** Node.js reports progress each time this much has been sent (the high-water mark of a socket). */
export const SLICE_BYTES = 64 * 1024;
/** One slice in the socket, encrypted or not, and one behind it. */
export const SHARED_BYTES = 2 * SLICE_BYTES;
/** The largest page of events and a few lists. */
const PER_BLOCK_BYTES = 8 * 1024 * 1024;
/** Eight blocks that read nothing. */
const IN_ALL_BYTES = 64 * 1024 * 1024;

export class UnreadResponses {
  readonly #blocks = new Map<string, number>();
  #inAll = 0;

  get bytes(): number {
    return this.#inAll;
  }

  /** True while no further response is begun for this block. */
  isFull(block: string): boolean {
    return this.#inAll >= IN_ALL_BYTES || (this.#blocks.get(block) ?? 0) >= PER_BLOCK_BYTES;
  }

  /** Counts a response; call what it returns, once, when the response is read or gone. */
  hold(block: string, bytes: number): () => void {
    this.#add(block, bytes);
    return () => this.#add(block, -bytes);
  }

  #add(block: string, bytes: number): void {
    this.#inAll += bytes;
    const held = (this.#blocks.get(block) ?? 0) + bytes;
    if (held === 0) this.#blocks.delete(block);
    else this.#blocks.set(block, held);
  }
}

/**
 * The body piece by piece, as the peer takes it and `inTurn` comes to it; nothing is copied. 200 connections that read
 * a list of 1.3 MB as fast as it comes would otherwise have all of each turn of the event loop.
 */
export function slicesOf(body: Buffer, inTurn: (push: () => void) => void): Readable {
  let at = 0;
  return new Readable({
    highWaterMark: SLICE_BYTES,
    read(): void {
      inTurn(() => {
        if (!this.destroyed) this.push(at < body.length ? body.subarray(at, (at += SLICE_BYTES)) : null);
      });
    },
  });
}

// The bytes of a download that caller and service both know: each has a block of its own, over and over. Comparing them
// costs less than a digest, and finds a byte of another download too.
import { createCipheriv } from 'node:crypto';

const BLOCK = 1024 * 1024;

export function blockOf(seed: number): Buffer {
  return createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16)).update(Buffer.alloc(BLOCK));
}

/** So many bytes of the pattern from this position on; at most to the end of its block. */
export function piece(block: Buffer, position: number, bytes: number): Buffer {
  const from = position % BLOCK;
  return block.subarray(from, Math.min(BLOCK, from + bytes));
}

/** True where these bytes are those of the pattern at this position. */
export function fits(bytes: Buffer, block: Buffer, position: number): boolean {
  for (let at = 0; at < bytes.length;) {
    const due = piece(block, position + at, bytes.length - at);
    if (!due.equals(bytes.subarray(at, at + due.length))) return false;
    at += due.length;
  }
  return true;
}

// How a command on this host and the daemon prove to each other that both can read the owner's key, where no socket
// says so: first the daemon answers the command's challenge, and only then does the command send anything, bound to
// this connection and this request.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** Answered without a token: `{nonce, proof}` for the nonce in the header below. */
export const CHALLENGE_PATH = '/api/v1/owner-challenge';
export const NONCE_HEADER = 'queuegate-nonce';
/** Before the proof, in Authorization. */
export const OWNER_SCHEME = 'Queuegate-Owner ';

const NONCE = /^[\w-]{43}$/;

/** The nonces of one connection. */
export interface Challenge {
  readonly client: string;
  readonly server: string;
}

export function newNonce(): string {
  return randomBytes(32).toString('base64url');
}

export function isNonce(text: unknown): text is string {
  return typeof text === 'string' && NONCE.test(text);
}

/** Proves the daemon. */
export function daemonProof(key: Buffer, { client, server }: Challenge): string {
  return mac(key, ['queuegate.local daemon', client, server]);
}

/** Proves the owner, for one request. */
export function ownerProof(key: Buffer, { client, server }: Challenge, method: string, path: string): string {
  return mac(key, ['queuegate.local owner', client, server, method, path]);
}

export function sameProof(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** No part holds a line feed. */
function mac(key: Buffer, parts: readonly string[]): string {
  return createHmac('sha256', key).update(parts.join('\n')).digest('base64url');
}

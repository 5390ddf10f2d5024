// Builds and verifies what the two sides sign (docs/PROTOCOL.md, "Signatures"): ECDSA P-256 with SHA-256, DER, base64.
// A transcript is the JSON text of an array of strings: no two different conversations have the same one.
import { createHash, sign, verify, type KeyObject } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { canonicalP256, readP256, spkiOf } from '../x509/public-key.ts';
import {
  BINDING_BYTES,
  BINDING_LABEL,
  SUBPROTOCOL,
  type Challenge,
  type Hello,
  type Position,
  type Welcome,
} from './messages.ts';

type Unsigned<T> = Omit<T, 'signature'>;

function positionText(position: Position | null): string {
  return position === null ? '' : JSON.stringify([position.incarnation, String(position.number), position.id]);
}

function releasesText({ profile, runtime, program }: Hello['releases']): string {
  const digests = [profile ?? '', runtime ?? '', program ?? ''];
  return digests.every((digest) => digest === '') ? '' : JSON.stringify(digests);
}

/** What an agent signs: the protocol, both nonces, Central's name, itself, and the connection as it sees it. */
export function helloTranscript(challenge: Pick<Challenge, 'nonce' | 'centralName'>, hello: Unsigned<Hello>): string {
  return JSON.stringify([
    `${SUBPROTOCOL} hello`,
    challenge.nonce,
    challenge.centralName,
    hello.nonce,
    hello.id,
    hello.name,
    hello.key,
    hello.version,
    hello.bootId,
    hello.transport,
    hello.binding ?? '',
    releasesText(hello.releases),
    JSON.stringify(hello.capabilities),
    positionText(hello.logs.down),
  ]);
}

/** What Central signs: the agent's nonce shows that it is an answer to this hello and no recording. */
export function welcomeTranscript(
  hello: Pick<Hello, 'nonce' | 'id' | 'bootId'>,
  centralName: string,
  welcome: Unsigned<Welcome>,
): string {
  return JSON.stringify([
    `${SUBPROTOCOL} welcome`,
    hello.nonce,
    hello.id,
    hello.bootId,
    centralName,
    welcome.sessionId,
    String(welcome.epoch),
    String(welcome.time),
    String(welcome.heartbeatSeconds),
    JSON.stringify([
      welcome.limits.maxFrameBytes,
      welcome.limits.maxMessageBytes,
      welcome.limits.windowItems,
      welcome.limits.windowBytes,
    ]),
    positionText(welcome.logs.up),
  ]);
}

/** What an agent signs with its current key when it requests a renewal; `csrDer` is the request as bytes. */
export function renewTranscript(csrDer: Uint8Array, thumbprint: string): string {
  return JSON.stringify([`${SUBPROTOCOL} renew`, Buffer.from(csrDer).toString('base64'), thumbprint]);
}

/**
 * What Central signs with a trust update: with the session of the welcome, so that a recording of another session does
 * not count.
 */
export function trustTranscript(sessionId: string, pem: string): string {
  return JSON.stringify([`${SUBPROTOCOL} trust`, sessionId, pem]);
}

/** Signs a transcript; base64 of the DER signature (RFC 3279 section 2.2.3). */
export function signTranscript(transcript: string, key: KeyObject): string {
  return sign('sha256', Buffer.from(transcript), key).toString('base64');
}

/** True when `signature` over `transcript` is by `key`. A signature that cannot be read is a wrong one. */
export function verifyTranscript(transcript: string, signature: string, key: KeyObject): boolean {
  return verify('sha256', Buffer.from(transcript), key, Buffer.from(signature, 'base64'));
}

/** The same on the thread pool, for a side that verifies for many. */
export function verifyTranscriptAside(transcript: string, signature: string, key: KeyObject): Promise<boolean> {
  return new Promise((resolve, reject) => {
    verify('sha256', Buffer.from(transcript), key, Buffer.from(signature, 'base64'), (error, isRight) =>
      error === null ? resolve(isRight) : reject(error),
    );
  });
}

/** Reads a SubjectPublicKeyInfo (DER, base64) as an ECDSA P-256 key; undefined when it is something else. */
export function readPublicKey(spki: string): KeyObject | undefined {
  return readP256(Buffer.from(spki, 'base64'));
}

/**
 * SHA-256 of the one SubjectPublicKeyInfo of a key (shared/x509/public-key.ts), in lower-case hex: how a key is named
 * everywhere.
 */
export function keyThumbprint(key: KeyObject): string {
  return createHash('sha256').update(spkiOf(key)).digest('hex');
}

/**
 * The key that a hello shows (DER, base64), in its one form; `readPublicKey` has read it. Taken from its bytes: having
 * OpenSSL write a key takes longer than verifying a signature.
 */
export function shownKey(spki: string): Buffer {
  const bytes = Buffer.from(spki, 'base64');
  return canonicalP256(bytes) ?? bytes;
}

/** `keyThumbprint` of the key that a hello shows. */
export function shownThumbprint(spki: string): string {
  return createHash('sha256').update(shownKey(spki)).digest('hex');
}

/**
 * The channel binding of a TLS 1.3 connection (RFC 9266): 32 bytes of the exporter with an empty context, base64url.
 * Undefined below TLS 1.3, where the exporter does not bind (RFC 9266 section 4.2).
 */
export function channelBinding(socket: TLSSocket): string | undefined {
  if (socket.getProtocol() !== 'TLSv1.3') return undefined;
  return socket.exportKeyingMaterial(BINDING_BYTES, BINDING_LABEL, Buffer.alloc(0)).toString('base64url');
}

// The recovery code, which lets an agent that Central no longer accepts enroll again with a new key. It is never
// sent: both sides prove that they know it, with HMAC-SHA256 under its SHA-256, as with the token over ws
// (enrollment.ts).
//
//   over wss  The agent's truststore may know Central no more. It looks at the chain first, and says in its proof which top
//             certificate it saw: Central takes it only if that is its own.
//   over ws   The same without that certificate.
import { createHash, randomInt } from 'node:crypto';
import { proofOf } from './enrollment.ts';

/** Crockford's base 32: without I, L, O and U, which are read for others, or read out as words. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
/** Of five bits each: 100 bits cannot be guessed, and can be typed from a telephone. */
const LENGTH = 20;
const GROUP = 5;
const CODE = new RegExp(`^[${ALPHABET}]{${LENGTH}}$`);

/** A new code, as people write it: XXXXX-XXXXX-XXXXX-XXXXX. */
export function makeRecoveryCode(): string {
  const letters = Array.from({ length: LENGTH }, () => ALPHABET.charAt(randomInt(ALPHABET.length))).join('');
  return letters.replaceAll(new RegExp(`(.{${GROUP}})(?=.)`, 'g'), '$1-');
}

/** A code as somebody typed it, without dashes and blanks: O counts as 0, I and L as 1. Undefined when it is none. */
export function readRecoveryCode(text: string): string | undefined {
  const letters = text.toUpperCase().replaceAll(/[\s-]/g, '').replaceAll('O', '0').replaceAll(/[IL]/g, '1');
  return CODE.test(letters) ? letters : undefined;
}

/** SHA-256 of a code that `readRecoveryCode` has read: what Central stores, and the key of both proofs. */
export function recoveryKey(code: string): Buffer {
  return createHash('sha256').update(code, 'utf8').digest();
}

/** What the agent proves. Central's answer is proven by `answerProof` (enrollment.ts), which covers this. */
export function recoveryProof(
  key: Uint8Array,
  request: {
    readonly name: string;
    readonly id: string | undefined;
    readonly pin: string | null;
    readonly csrDer: Uint8Array;
  },
): string {
  return proofOf(key, [
    'queuegate.v1 recover',
    request.name,
    request.id ?? null,
    request.pin,
    Buffer.from(request.csrDer).toString('base64'),
  ]);
}

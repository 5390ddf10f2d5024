import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { daemonProof, isNonce, newNonce, ownerProof, sameProof } from '../../../agent/local-api/proof.ts';

const key = randomBytes(32);
const challenge = { client: newNonce(), server: newNonce() };

describe('the proof between a command and the daemon', () => {
  it('is bound to key, nonces, side, method and path', () => {
    const proofs = [
      daemonProof(key, challenge),
      daemonProof(randomBytes(32), challenge),
      daemonProof(key, { ...challenge, client: newNonce() }),
      daemonProof(key, { ...challenge, server: newNonce() }),
      daemonProof(key, { client: challenge.server, server: challenge.client }),
      ownerProof(key, challenge, 'GET', '/a'),
      ownerProof(key, challenge, 'POST', '/a'),
      ownerProof(key, challenge, 'GET', '/b'),
      ownerProof(key, { ...challenge, server: newNonce() }, 'GET', '/a'),
    ];
    expect(new Set(proofs).size).toBe(proofs.length);
    expect(ownerProof(key, challenge, 'GET', '/a')).toBe(proofs[5]);
  });

  it('is the same only as a whole', () => {
    const proof = daemonProof(key, challenge);
    expect(sameProof(proof, proof)).toBe(true);
    expect(sameProof(proof, `${proof}x`)).toBe(false);
    expect(sameProof(proof, proof.slice(0, -1))).toBe(false);
    expect(
      sameProof(
        proof,
        proof.replace(/^./, (first) => (first === 'A' ? 'B' : 'A')),
      ),
    ).toBe(false);
  });
});

it('a nonce is 32 random bytes, and nothing else is taken for one', () => {
  expect(isNonce(newNonce())).toBe(true);
  expect(newNonce()).not.toBe(newNonce());
  for (const other of [
    '',
    'a'.repeat(42),
    'a'.repeat(44),
    `${'a'.repeat(42)}\n`,
    `${'a'.repeat(42)}/`,
    7,
    null,
    undefined,
  ])
    expect(isNonce(other)).toBe(false);
});

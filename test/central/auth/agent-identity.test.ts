import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { judgeRegistration, proveHello, type SeenConnection } from '../../../central/auth/agent-identity.ts';
import type { AgentRecord } from '../../../central/store/store.ts';
import type { Challenge, Hello } from '../../../shared/wire/messages.ts';
import { helloTranscript, signTranscript } from '../../../shared/wire/proof.ts';

const challenge: Challenge = { type: 'challenge', nonce: 'c'.repeat(32), central: 'bank', time: '2026-11-22T10:00:00.000Z' };

function keys() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return { privateKey, spki: createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).toString('base64') };
}
const agent = keys();

function hello(change: Partial<Hello> = {}, signer = agent): Hello {
  const unsigned: Omit<Hello, 'signature'> = {
    type: 'hello',
    id: 'a1',
    name: 'branch',
    key: signer.spki,
    version: '0.1.0',
    boot: 'b'.repeat(32),
    challenge: challenge.nonce,
    nonce: 'n'.repeat(32),
    scheme: 'wss',
    binding: 'YmluZGluZw',
    release: null,
    capabilities: [],
    logs: { down: null },
    ...change,
  };
  return { ...unsigned, signature: signTranscript(helloTranscript(challenge, unsigned), signer.privateKey) };
}

const secure: SeenConnection = { listener: 'secure', origin: { address: '192.0.2.7', peer: '192.0.2.7', proxied: false, scheme: 'wss' }, binding: 'YmluZGluZw' };
const plain: SeenConnection = { listener: 'plain', origin: { address: '192.0.2.7', peer: '192.0.2.7', proxied: false, scheme: 'ws' }, binding: null };

function refusalOf(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return undefined;
}

describe('proveHello', () => {
  it('accepts a hello that is bound to its TLS connection, and one on plain without binding', () => {
    expect(proveHello(hello(), challenge, secure).thumbprint).toMatch(/^[0-9a-f]{64}$/);
    expect(proveHello(hello({ scheme: 'ws', binding: null }), challenge, plain).thumbprint).toMatch(/^[0-9a-f]{64}$/);
  });

  it('refuses a wrong signature', () => {
    expect(refusalOf(() => proveHello({ ...hello(), name: 'other' }, challenge, secure))).toBe('bad_signature');
    expect(refusalOf(() => proveHello({ ...hello(), signature: 'AAAA' }, challenge, secure))).toBe('bad_signature');
    expect(refusalOf(() => proveHello({ ...hello(), key: 'AAAA' }, challenge, secure))).toBe('bad_signature');
  });

  it('covers every member of the hello with the signature', () => {
    const changes: Partial<Hello>[] = [{ id: 'x' }, { version: '9' }, { boot: 'x'.repeat(32) }, { nonce: 'x'.repeat(32) }, { release: 'x' }, { capabilities: ['x'] }, { logs: { down: { incarnation: 'i', number: 1, id: 'x' } } }];
    for (const change of changes) expect(refusalOf(() => proveHello({ ...hello(), ...change }, challenge, secure))).toBe('bad_signature');
  });

  it('refuses a replayed hello', () => {
    expect(refusalOf(() => proveHello(hello(), { ...challenge, nonce: 'd'.repeat(32) }, secure))).toBe('replayed_hello');
  });

  it('refuses a hello for another Central', () => {
    expect(refusalOf(() => proveHello(hello(), { ...challenge, central: 'other' }, secure))).toBe('bad_signature');
  });

  it('refuses a hello made for ws on the secure port, and one made for wss on the plain port', () => {
    expect(refusalOf(() => proveHello(hello({ scheme: 'ws', binding: null }), challenge, secure))).toBe('wrong_scheme');
    expect(refusalOf(() => proveHello(hello(), challenge, plain))).toBe('wrong_scheme');
  });

  it('refuses a hello without binding on the secure port, except from a trusted proxy', () => {
    expect(refusalOf(() => proveHello(hello({ binding: null }), challenge, secure))).toBe('binding_required');
    const proxied: SeenConnection = { listener: 'plain', origin: { address: '198.51.100.4', peer: '198.51.100.4', proxied: true, scheme: 'wss' }, binding: null };
    expect(refusalOf(() => proveHello(hello({ binding: null }), challenge, proxied))).toBeUndefined();
  });

  it('refuses a hello bound to another TLS connection, which is what somebody in the line would pass on', () => {
    expect(refusalOf(() => proveHello(hello(), challenge, { ...secure, binding: 'b3RoZXI' }))).toBe('binding_mismatch');
    expect(refusalOf(() => proveHello(hello(), challenge, { ...secure, binding: null }))).toBe('binding_mismatch');
  });
});

describe('judgeRegistration', () => {
  const known = { id: 'a1', keyThumbprint: 'k' } as AgentRecord;

  it('refuses an unknown agent', () => {
    expect(refusalOf(() => judgeRegistration(hello(), { thumbprint: 'k' }, undefined))).toBe('unknown_agent');
  });

  it('refuses another key under the same id', () => {
    expect(refusalOf(() => judgeRegistration(hello(), { thumbprint: 'other' }, known))).toBe('key_conflict');
    expect(judgeRegistration(hello(), { thumbprint: 'k' }, known)).toBe(known);
  });
});

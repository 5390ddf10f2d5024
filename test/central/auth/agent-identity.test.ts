import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  validateCertificate,
  validateRegistration,
  proveHello,
  type CertificateTerms,
  type SeenConnection,
} from '../../../central/auth/agent-identity.ts';
import type { AgentCertificate } from '../../../central/store/certificate-store.ts';
import type { AgentRecord } from '../../../central/store/agent-store.ts';
import type { Challenge, Hello } from '../../../shared/wire/messages.ts';
import { helloTranscript, signTranscript } from '../../../shared/wire/proof.ts';

const challenge: Challenge = {
  type: 'challenge',
  nonce: 'c'.repeat(32),
  centralName: 'bank',
  sentAt: '2026-11-22T10:00:00.000Z',
};

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
    bootId: 'b'.repeat(32),
    challenge: challenge.nonce,
    nonce: 'n'.repeat(32),
    transport: 'wss',
    binding: 'YmluZGluZw',
    releases: { profile: null, runtime: null, program: null },
    capabilities: [],
    logs: { down: null },
    ...change,
  };
  return { ...unsigned, signature: signTranscript(helloTranscript(challenge, unsigned), signer.privateKey) };
}

const secure: SeenConnection = {
  listener: 'wss',
  origin: { address: '192.0.2.7', peer: '192.0.2.7', proxied: false, scheme: 'wss' },
  binding: 'YmluZGluZw',
};
const plain: SeenConnection = {
  listener: 'ws',
  origin: { address: '192.0.2.7', peer: '192.0.2.7', proxied: false, scheme: 'ws' },
  binding: null,
};

function refusalOf(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return undefined;
}

async function proofRefusal(act: () => Promise<unknown>): Promise<string | undefined> {
  return await act().then(
    () => undefined,
    (error: unknown) => (error as { code: string }).code,
  );
}

describe('proveHello', () => {
  it('accepts a hello that is bound to its TLS connection, and one on plain without binding', async () => {
    expect((await proveHello(hello(), challenge, secure)).thumbprint).toMatch(/^[0-9a-f]{64}$/);
    expect((await proveHello(hello({ transport: 'ws', binding: null }), challenge, plain)).thumbprint).toMatch(
      /^[0-9a-f]{64}$/,
    );
  });

  it('refuses a wrong signature', async () => {
    expect(await proofRefusal(() => proveHello({ ...hello(), name: 'other' }, challenge, secure))).toBe(
      'bad_signature',
    );
    expect(await proofRefusal(() => proveHello({ ...hello(), signature: 'AAAA' }, challenge, secure))).toBe(
      'bad_signature',
    );
    expect(await proofRefusal(() => proveHello({ ...hello(), key: 'AAAA' }, challenge, secure))).toBe('bad_signature');
  });

  it('covers every member of the hello with the signature', async () => {
    const changes: Partial<Hello>[] = [
      { id: 'x' },
      { version: '9' },
      { bootId: 'x'.repeat(32) },
      { nonce: 'x'.repeat(32) },
      { releases: { profile: 'a'.repeat(64), runtime: null, program: null } },
      { capabilities: ['x'] },
      { logs: { down: { incarnation: 'i', number: 1, id: 'x' } } },
    ];
    for (const change of changes)
      expect(await proofRefusal(() => proveHello({ ...hello(), ...change }, challenge, secure))).toBe('bad_signature');
  });

  it('refuses a replayed hello', async () => {
    expect(await proofRefusal(() => proveHello(hello(), { ...challenge, nonce: 'd'.repeat(32) }, secure))).toBe(
      'replayed_hello',
    );
  });

  it('refuses a hello for another Central', async () => {
    expect(await proofRefusal(() => proveHello(hello(), { ...challenge, centralName: 'other' }, secure))).toBe(
      'bad_signature',
    );
  });

  it('refuses a hello made for ws on the wss port, and one made for wss on the ws port', async () => {
    expect(await proofRefusal(() => proveHello(hello({ transport: 'ws', binding: null }), challenge, secure))).toBe(
      'wrong_transport',
    );
    expect(await proofRefusal(() => proveHello(hello(), challenge, plain))).toBe('wrong_transport');
  });

  it('refuses a hello without binding on the wss port, except from a trusted proxy', async () => {
    expect(await proofRefusal(() => proveHello(hello({ binding: null }), challenge, secure))).toBe('binding_required');
    const proxied: SeenConnection = {
      listener: 'ws',
      origin: { address: '198.51.100.4', peer: '198.51.100.4', proxied: true, scheme: 'wss' },
      binding: null,
    };
    expect(await proofRefusal(() => proveHello(hello({ binding: null }), challenge, proxied))).toBeUndefined();
  });

  it('refuses a hello bound to another TLS connection, which is what somebody in the line would pass on', async () => {
    expect(await proofRefusal(() => proveHello(hello(), challenge, { ...secure, binding: 'b3RoZXI' }))).toBe(
      'binding_mismatch',
    );
    expect(await proofRefusal(() => proveHello(hello(), challenge, { ...secure, binding: null }))).toBe(
      'binding_mismatch',
    );
  });
});

describe('validateRegistration', () => {
  const known = { id: 'a1', keyThumbprint: 'k' } as AgentRecord;

  it('refuses an unknown agent', () => {
    expect(refusalOf(() => validateRegistration(hello(), { thumbprint: 'k' }, undefined))).toBe('agent_unknown');
  });

  it('refuses another key under the same id', () => {
    expect(refusalOf(() => validateRegistration(hello(), { thumbprint: 'other' }, known))).toBe('agent_key_mismatch');
    expect(validateRegistration(hello(), { thumbprint: 'k' }, known)).toBe(known);
  });

  it('takes the next key as the current one', () => {
    const renewing = { ...known, next: { keyThumbprint: 'n' } } as AgentRecord;
    expect(validateRegistration(hello(), { thumbprint: 'n' }, renewing)).toBe(renewing);
    expect(validateRegistration(hello(), { thumbprint: 'k' }, renewing)).toBe(renewing);
  });
});

describe('validateCertificate', () => {
  const DAY = 86_400_000;
  const certificate = (
    thumbprint: string,
    notAfter: number,
    revoked: AgentCertificate['revoked'] = null,
  ): AgentCertificate => ({
    thumbprint,
    serial: '1',
    issuer: 'r',
    keyThumbprint: 'k',
    notBefore: 0,
    notAfter,
    issuedAt: 0,
    installedAt: null,
    revoked,
  });
  const agent = (changes: Partial<AgentRecord> = {}) =>
    ({
      id: 'a1',
      keyThumbprint: 'k',
      certificate: certificate('c', 10 * DAY),
      next: null,
      revocation: null,
      ...changes,
    }) as AgentRecord;
  const validate = (record: AgentRecord, terms: Partial<CertificateTerms> = {}, thumbprint = 'k') =>
    validateCertificate(record, { thumbprint }, { authentication: 'certificate', graceDays: 5, now: 0, ...terms });

  it('takes one that is in date, and one that expired within the grace', () => {
    expect(validate(agent())).toMatchObject({ thumbprint: 'c' });
    expect(validate(agent(), { now: 15 * DAY - 1 })).toMatchObject({ thumbprint: 'c' });
    expect(validate(agent(), { now: 10 * DAY - 1, graceDays: 0 })).toMatchObject({ thumbprint: 'c' });
  });

  it('refuses one that expired longer ago, whatever kinds are allowed: it never falls through to the key', () => {
    expect(refusalOf(() => validate(agent(), { now: 15 * DAY }))).toBe('certificate_expired');
    expect(
      refusalOf(() => validate(agent(), { now: 10 * DAY, graceDays: 0, authentication: 'certificate-or-key' })),
    ).toBe('certificate_expired');
  });

  it('refuses a revoked agent and a revoked certificate before it looks at anything else', () => {
    expect(
      refusalOf(() =>
        validate(agent({ revocation: { at: 0, reason: 'keyCompromise' }, certificate: null }), {
          authentication: 'certificate-or-key',
        }),
      ),
    ).toBe('agent_revoked');
    expect(
      refusalOf(() => validate(agent({ certificate: certificate('c', 10 * DAY, { at: 0, reason: 'superseded' }) }))),
    ).toBe('agent_revoked');
  });

  it('lets one without a certificate come by its key where that is allowed', () => {
    expect(validate(agent({ certificate: null }), { authentication: 'certificate-or-key' })).toBeNull();
    expect(refusalOf(() => validate(agent({ certificate: null })))).toBe('authentication_kind');
  });

  it('validates each key by its own certificate', () => {
    const renewing = agent({
      certificate: certificate('old', DAY),
      next: { publicKey: 'p', keyThumbprint: 'n', certificate: certificate('new', 90 * DAY) },
    });
    expect(validate(renewing, { now: 50 * DAY }, 'n')).toMatchObject({ thumbprint: 'new' });
    expect(refusalOf(() => validate(renewing, { now: 50 * DAY }))).toBe('certificate_expired');
  });
});

import { createHash, webcrypto, X509Certificate } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import { CENTRAL } from '../../../central/audit.ts';
import type { WrongAttempt } from '../../../central/auth/wrong-attempts.ts';
import { createEnrollmentTokens, type EnrollmentTokens } from '../../../central/enrollment/tokens.ts';
import { openAuthority, type Authority } from '../../../central/pki/authority/authority.ts';
import { spkiOf } from '../../../central/pki/x509/certificate.ts';
import { createAgentCredentials } from '../../../central/enrollment/credentials.ts';
import { makeKeyPair, type KeyPair } from '../../../central/pki/x509/key-algorithms.ts';
import { enrollmentLine, recoveryLine } from '../../../central/enrollment/command-lines.ts';
import { createEnrollment, type Enrollment, type EnrollmentPolicy } from '../../../central/enrollment/enrollment.ts';
import {
  answerProof,
  ENROLLED,
  pinOf,
  proofKey,
  readEnrollmentToken,
  readPin,
  requestProof,
  sameProof,
  type Enrolled,
} from '../../../shared/wire/enrollment.ts';
import { validate } from '../../../shared/wire/json-schema.ts';
import { Pkcs10CertificateRequestGenerator } from '../../../shared/x509/library.ts';
import { memoryStore, type MemoryStore } from '../fakes.ts';

const slowed: WrongAttempt[] = [];
const attempts = { slow: async (attempt: WrongAttempt) => void slowed.push(attempt) };
const WSS = { over: 'wss', address: '10.0.0.7', direct: true } as const;
const WS = { over: 'ws', address: '10.0.0.7', direct: false } as const;

let store: MemoryStore;
let tokens: EnrollmentTokens;
let authority: Authority;
let enrollment: { enroll(...order: Parameters<Enrollment['enroll']>): Promise<Enrolled> };
let policy: EnrollmentPolicy;
let keys: KeyPair;
let csr: string;
let csrDer: Buffer;

beforeEach(async () => {
  store = memoryStore();
  slowed.length = 0;
  policy = 'token';
  tokens = createEnrollmentTokens({ tokens: store.tokens, now: Date.now });
  authority = await openAuthority({ keyMaterial: store.keyMaterial, central: 'central.test', now: Date.now });
  const trust = { pem: () => authority.pem, thumbprints: () => ['the root'] };
  const credentials = createAgentCredentials({
    authority,
    trust,
    certificates: store.certificates,
    signingKey: 'S'.repeat(64),
    central: 'central.test',
    lifetimeDays: () => 365,
    now: Date.now,
  });
  const notExpected = () => Promise.reject(new Error('not expected here'));
  const made = createEnrollment({
    agents: store.agents,
    tokens,
    credentials,
    approvals: { submit: notExpected },
    recoveries: { recover: notExpected },
    attempts,
    policy: () => policy,
    now: Date.now,
  });
  enrollment = {
    async enroll(body, connection) {
      const answer = await made.enroll(body, connection);
      if ('state' in answer) throw new TypeError('nothing waits here');
      return answer;
    },
  };
  keys = await makeKeyPair();
  const P256 = { name: 'ECDSA', namedCurve: 'P-256' };
  const request = await Pkcs10CertificateRequestGenerator.create(
    {
      name: 'CN=whatever the agent says',
      keys: {
        publicKey: keys.publicKey.toCryptoKey(P256, true, ['verify']),
        privateKey: keys.privateKey.toCryptoKey(P256, false, ['sign']),
      },
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    },
    webcrypto,
  );
  csr = request.toString('pem');
  csrDer = Buffer.from(request.rawData);
});

const token = async (uses = 1, agentName: string | null = null) =>
  (await tokens.create({ lifetimeSeconds: 1800, maxUses: uses, agentName }, CENTRAL)).token;

/** What an agent sends over a plain line. */
function proven(text: string, more: { id?: string } = {}) {
  const parts = readEnrollmentToken(text);
  if (parts === undefined) throw new TypeError('no token');
  const key = proofKey(parts.secret);
  return {
    key,
    body: {
      csr,
      name: 'branch-7',
      tokenId: parts.id,
      proof: requestProof(key, { tokenId: parts.id, name: 'branch-7', id: more.id, csrDer }),
      ...more,
    },
  };
}

describe('enrollment with a token over wss', () => {
  test('answers id, certificate, truststore and the signing key, and registers the key', async () => {
    const answer = await enrollment.enroll({ csr, name: 'branch-7', token: await token() }, WSS);
    const thumbprint = createHash('sha256').update(spkiOf(keys.publicKey)).digest('hex');
    expect(validate(ENROLLED, answer)).toBeUndefined();
    expect(answer).toMatchObject({
      id: thumbprint,
      name: 'branch-7',
      centralName: 'central.test',
      signingKey: 'S'.repeat(64),
      truststore: authority.pem,
    });
    expect(answer).not.toHaveProperty('proof');
    const certificate = new X509Certificate(answer.certificate);
    expect(certificate.verify(authority.certificate.publicKey)).toBe(true);
    expect(certificate.subject).toBe('CN=branch-7');
    expect(certificate.checkPrivateKey(keys.privateKey)).toBe(true);
    expect(store.agents.records.get(thumbprint)).toMatchObject({
      name: 'branch-7',
      keyThumbprint: thumbprint,
      publicKey: spkiOf(keys.publicKey).toString('base64'),
    });
    expect(store.audit.entries.slice(-2)).toMatchObject([
      { action: 'agents.enroll', from: '10.0.0.7' },
      { action: 'certificates.issue', from: '10.0.0.7' },
    ]);
  });

  test('takes the id that the machine was given', async () => {
    const answer = await enrollment.enroll(
      { csr, name: 'branch-7', id: '00-1B-44-11-3A-B7', token: await token() },
      WSS,
    );
    expect(answer.id).toBe('00-1B-44-11-3A-B7');
    expect(new X509Certificate(answer.certificate).subjectAltName).toBe('URI:urn:queuegate:agent:00-1B-44-11-3A-B7');
  });

  test('a token used twice is refused', async () => {
    const text = await token();
    await enrollment.enroll({ csr, name: 'branch-7', token: text }, WSS);
    await expect(enrollment.enroll({ csr, name: 'branch-8', id: 'another', token: text }, WSS)).rejects.toMatchObject({
      code: 'token_used',
    });
    expect(slowed).toHaveLength(1);
  });

  test('a repeated enrollment of the same key repairs a lost answer', async () => {
    const text = await token();
    const first = await enrollment.enroll({ csr, name: 'branch-7', token: text }, WSS);
    const second = await enrollment.enroll({ csr, name: 'branch-7', token: text }, WSS);
    expect(second.id).toBe(first.id);
  });

  test('an unknown token, one with a wrong secret and one for another name are refused with the same words', async () => {
    const good = await token();
    for (const text of [
      'nonsense',
      `qge_${'0'.repeat(16)}_${'A'.repeat(43)}`,
      `${good.slice(0, -2)}xx`,
      await token(1, 'branch-8'),
    ]) {
      await expect(enrollment.enroll({ csr, name: 'branch-7', token: text }, WSS)).rejects.toMatchObject({
        code: 'enrollment_refused',
        status: 401,
      });
    }
    expect(store.agents.records.size).toBe(0);
    expect(slowed).toEqual(Array.from({ length: 4 }, () => ({ secret: 'enrollment-token', address: '10.0.0.7' })));
    await enrollment.enroll({ csr, name: 'branch-7', token: good }, WSS);
    expect(slowed).toHaveLength(4);
  });

  test('no one gets in while the policy is closed', async () => {
    policy = 'closed';
    await expect(enrollment.enroll({ csr, name: 'branch-7', token: await token() }, WSS)).rejects.toMatchObject({
      code: 'enrollment_closed',
    });
  });

  test('a name that is not a host name and a request that is none are refused', async () => {
    const text = await token();
    for (const body of [
      { csr, name: 'branch 7', token: text },
      { csr, name: '', token: text },
      { name: 'a', token: text },
      { csr: 1, name: 'a', token: text },
      null,
      'text',
      [],
      {},
    ]) {
      await expect(enrollment.enroll(body, WSS)).rejects.toMatchObject({ code: 'enrollment_request_bad', status: 400 });
    }
  });
});

describe('enrollment over a plain line', () => {
  test('the token never crosses; both sides prove that they know it', async () => {
    const { key, body } = proven(await token(), { id: 'x' });
    const answer = await enrollment.enroll(body, WS);
    const { proof = '', ...rest } = answer;
    expect(sameProof(proof, answerProof(key, body.proof, rest))).toBe(true);
    expect(sameProof(proof, answerProof(key, body.proof, { ...rest, signingKey: 'T'.repeat(64) }))).toBe(false);
    expect(sameProof(proof, answerProof(proofKey('other'), body.proof, rest))).toBe(false);
  });

  test('a stranger in the line can change neither key, name nor id', async () => {
    const { body } = proven(await token());
    for (const changed of [
      { ...body, name: 'branch-8' },
      { ...body, id: 'x' },
      { ...body, proof: '0'.repeat(64) },
      { ...body, tokenId: '0'.repeat(16) },
    ]) {
      await expect(enrollment.enroll(changed, WS)).rejects.toMatchObject({ code: 'enrollment_refused' });
    }
    expect(slowed).toHaveLength(4);
    await enrollment.enroll(body, WS);
    expect(slowed).toHaveLength(4);
  });

  test('a token sent in the clear is refused and withdrawn', async () => {
    const text = await token();
    await expect(enrollment.enroll({ csr, name: 'branch-7', token: text }, WS)).rejects.toMatchObject({
      code: 'enrollment_token_in_the_clear',
    });
    await expect(enrollment.enroll({ csr, name: 'branch-7', token: text }, WSS)).rejects.toMatchObject({
      code: 'enrollment_refused',
    });
    expect(store.audit.entries.map(({ action }) => action)).toContain('enrollment-tokens.withdraw');
  });

  test('no one can withdraw a token by guessing its id', async () => {
    const text = await token();
    await expect(
      enrollment.enroll({ csr, name: 'branch-7', token: `${text.slice(0, -2)}xx` }, WS),
    ).rejects.toMatchObject({ code: 'enrollment_token_in_the_clear' });
    await enrollment.enroll({ csr, name: 'branch-7', token: text }, WSS);
  });
});

test('the line to copy is complete, IPv6 in brackets', () => {
  const line = { port: 9150, token: 'qge_a_b', pin: 'sha256:00' };
  expect(enrollmentLine({ ...line, host: 'central.test' })).toBe(
    'queue-agent enroll https://central.test:9150 --token qge_a_b --pin sha256:00',
  );
  expect(enrollmentLine({ ...line, host: 'fd00::1' })).toContain('https://[fd00::1]:9150');
  const recovery = { host: 'central.test', port: 9150, name: 'branch 7', encrypted: true };
  expect(recoveryLine(recovery)).toBe("queue-agent recover --central-host central.test:9150 --agent-name 'branch 7'");
  expect(recoveryLine({ ...recovery, host: 'fd00::1', port: 8787, name: 'b', encrypted: false })).toBe(
    "queue-agent recover --central-host '[fd00::1]:8787' --agent-name b --central-websocket-secure=false",
  );
});

test('a pin is read as people copy it', () => {
  const pin = pinOf(Buffer.from('key'));
  expect(readPin(pin)).toBe(pin);
  expect(
    readPin(
      ` SHA256:${pin
        .slice(7)
        .toUpperCase()
        .replaceAll(/(..)(?=.)/g, '$1:')} `,
    ),
  ).toBe(pin);
  expect(readPin('sha256:1234')).toBeUndefined();
});

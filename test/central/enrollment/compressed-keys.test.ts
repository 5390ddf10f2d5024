// One key is one key, however its point is written: a revoked one is refused in compressed and hybrid form by every way
// in, as it is uncompressed. And nothing is computed with a certificate request before its sender has shown that they
// may send one.
import {
  createPrivateKey,
  createPublicKey,
  ECDH,
  generateKeyPairSync,
  randomUUID,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CENTRAL } from '../../../central/audit.ts';
import { AgentRate } from '../../../central/sessions/limits/agent-rate.ts';
import type { RenewalFrames } from '../../../central/sessions/control.ts';
import { Renewals } from '../../../central/agents/renewal.ts';
import type { Session } from '../../../central/sessions/session.ts';
import { addressBlock } from '../../../central/auth/address-rules.ts';
import { proveHello } from '../../../central/auth/agent-identity.ts';
import { validateClientCertificate } from '../../../central/auth/client-certificate.ts';
import { createEnrollmentTokens, type EnrollmentTokens } from '../../../central/enrollment/tokens.ts';
import { siteOf } from '../../../central/auth/wrong-attempts.ts';
import { createMetrics } from '../../../central/metrics.ts';
import { createApprovals, type Approvals } from '../../../central/enrollment/approvals.ts';
import { openAuthority, type Authority } from '../../../central/pki/authority/authority.ts';
import { readRequest, requestDer } from '../../../central/pki/x509/csr.ts';
import { createEnrollment, type Enrollment, type EnrollmentPolicy } from '../../../central/enrollment/enrollment.ts';
import { createAgentCredentials } from '../../../central/enrollment/credentials.ts';
import { createOfflineEnrollment, type OfflineEnrollment } from '../../../central/enrollment/offline.ts';
import { createRecoveries, type Recoveries } from '../../../central/enrollment/recovery.ts';
import { openSqliteStore } from '../../../central/store/sqlite/sqlite-store.ts';
import type { Store } from '../../../central/store/store.ts';
import { bits, der, ECDSA_SHA256, oid, positive, sequence, TAG } from '../../../shared/asn1/writer.ts';
import { pemOf } from '../../../shared/x509/pem.ts';
import { canonicalP256, readP256, spkiOf } from '../../../shared/x509/public-key.ts';
import { proofKey, readEnrollmentToken, requestProof } from '../../../shared/wire/enrollment.ts';
import type { CentralControl, Hello } from '../../../shared/wire/messages.ts';
import {
  helloTranscript,
  keyThumbprint,
  readPublicKey,
  renewTranscript,
  shownThumbprint,
  signTranscript,
} from '../../../shared/wire/proof.ts';
import { readRecoveryCode, recoveryKey, recoveryProof } from '../../../shared/wire/recovery.ts';
import { cpuMs, MAX_CPU_MS } from '../../bait.ts';
import { Cleanup } from '../../flow/processes.ts';
import { memoryStore } from '../fakes.ts';
import { ACT } from '../store/samples.ts';

type Form = 'compressed' | 'hybrid' | 'uncompressed';
const FORMS = ['uncompressed', 'compressed', 'hybrid'] as const satisfies readonly Form[];
const OTHER_FORMS = ['compressed', 'hybrid'] as const;
const WSS = { over: 'wss', address: '10.0.0.7', direct: true } as const;
const WS = { over: 'ws', address: '10.0.0.7', direct: false } as const;
const DAY = 86_400_000;
const P256 = sequence(oid('1.2.840.10045.2.1'), oid('1.2.840.10045.3.1.7'));

function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

/** The key's SubjectPublicKeyInfo with its point in one of the forms of SEC 1 section 2.3.3. */
function spkiIn(form: Form, key: KeyObject): Buffer {
  const point = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-65);
  return sequence(P256, bits(ECDH.convertKey(point, 'prime256v1', undefined, undefined, form)));
}

/** A request of this key, its point in that form, signed by `signer`. */
function requestOf(key: KeyObject, form: Form, name = 'branch-7', signer = key): string {
  const subject = sequence(der(TAG.set, sequence(oid('2.5.4.3'), der(TAG.utf8, Buffer.from(name)))));
  const information = sequence(positive(Buffer.from([0])), subject, spkiIn(form, key), der(0xa0));
  return pemOf(
    'CERTIFICATE REQUEST',
    sequence(information, sequence(oid(ECDSA_SHA256)), bits(sign('sha256', information, signer))),
  );
}

const cleanup = new Cleanup();
let store: Store;
let tokens: EnrollmentTokens;
let authority: Authority;
let approvals: Approvals;
let recoveries: Recoveries;
let offlineEnrollment: OfflineEnrollment;
let enrollment: Enrollment;
let renewals: RenewalFrames;
let policy: EnrollmentPolicy;

beforeEach(async () => {
  policy = 'approve';
  const attempts = { slow: async () => undefined };
  store = await openSqliteStore({ folder: await cleanup.folder(), deduplicationMs: DAY, onFailure: () => undefined });
  const { agents, enrollments, certificates } = store;
  const now = Date.now;
  tokens = createEnrollmentTokens({ tokens: store.tokens, now });
  authority = await openAuthority({ keyMaterial: memoryStore().keyMaterial, central: 'central.test', now });
  const trust = { pem: () => authority.pem, thumbprints: () => ['the root'], certificates: () => authority.roots() };
  const credentials = createAgentCredentials({
    authority,
    trust,
    certificates,
    signingKey: 'S'.repeat(64),
    central: 'central.test',
    lifetimeDays: () => 30,
    now,
  });
  approvals = createApprovals({
    agents,
    enrollments,
    credentials,
    onReplaced: () => undefined,
    blockOf: addressBlock,
    siteOf,
    onCounted: () => undefined,
    now,
  });
  recoveries = createRecoveries({
    agents,
    enrollments,
    credentials,
    attempts,
    pin: () => 'sha256:00',
    onRecovered: () => undefined,
    now,
  });
  offlineEnrollment = createOfflineEnrollment({
    agents,
    enrollments,
    credentials,
    authority,
    trust,
    signing: { chain: () => [authority.certificate] },
    policy: () => policy,
    now,
  });
  enrollment = createEnrollment({
    agents,
    tokens,
    credentials,
    approvals,
    recoveries,
    attempts,
    policy: () => policy,
    now,
  });
  renewals = new Renewals({
    agents,
    certificates,
    authority,
    lifetimeDays: () => 30,
    online: async () => 1,
    incidents: { record: () => undefined },
    metrics: createMetrics(),
    log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
    rate: new AgentRate(100, 1, now),
    now,
  });
});
afterEach(async () => {
  await store.stop();
  await cleanup.run();
});

const newToken = async (): Promise<string> =>
  (await tokens.create({ lifetimeSeconds: 1800, maxUses: 5, agentName: null }, CENTRAL)).token;

/** An agent of this key by a token; its id. */
async function enrolled(key: KeyObject, name: string, form: Form = 'uncompressed'): Promise<string> {
  const answer = await enrollment.enroll({ csr: requestOf(key, form, name), name, token: await newToken() }, WSS);
  return 'id' in answer ? answer.id : '';
}

/** The code that the way is refused with; undefined when it is not. */
async function refusalOf(way: () => unknown): Promise<string | undefined> {
  try {
    await way();
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

const freshName = (): string => `branch-${randomUUID()}`;

/** Each way in with a request for another name and id than the key's own. */
const WAYS: Readonly<Record<string, (csr: string) => Promise<unknown>>> = {
  token: async (csr) => await enrollment.enroll({ csr, name: 'other', id: 'other', token: await newToken() }, WSS),
  proof: async (csr) => {
    const { id: tokenId = '', secret = '' } = readEnrollmentToken(await newToken()) ?? {};
    const proof = requestProof(proofKey(secret), { tokenId, name: 'other', id: 'other', csrDer: requestDer(csr) });
    return await enrollment.enroll({ csr, name: 'other', id: 'other', tokenId, proof }, WS);
  },
  approve: async (csr) => {
    await enrollment.enroll({ csr, name: 'other' }, WSS);
    return await approvals.accept(
      readRequest(csr).spki.length === 91 ? keyThumbprint(readRequest(csr).publicKey) : '',
      CENTRAL,
    );
  },
  'offline request': async (csr) => await offlineEnrollment.issue({ csr, name: 'other', id: 'other' }, CENTRAL),
  recovery: async (csr) => {
    const name = freshName();
    const agent = await store.agents.get(await enrolled(newKey(), name));
    const { code } = await recoveries.make(agent?.id ?? '', 1, CENTRAL);
    const proof = recoveryProof(recoveryKey(readRecoveryCode(code) ?? ''), {
      name,
      id: undefined,
      pin: null,
      csrDer: requestDer(csr),
    });
    return await enrollment.enroll({ csr, name, pin: null, proof }, WS);
  },
  renewal: async (csr) => {
    const key = newKey();
    const id = await enrolled(key, freshName());
    const answer = await renew(id, key, csr);
    if (answer.type !== 'renew-refused') return answer;
    throw Object.assign(new Error(answer.detail), { code: answer.code });
  },
};

/** What Central answers to a request for renewal. */
async function renew(
  agentId: string,
  key: KeyObject,
  csr: string,
  change: { certificate?: string; signature?: string } = {},
): Promise<CentralControl> {
  const agent = await store.agents.get(agentId);
  const certificate = change.certificate ?? agent?.certificate?.thumbprint ?? '';
  const { epoch } = await store.agents.claimSession({
    agentId,
    keyThumbprint: agent?.keyThumbprint ?? '',
    name: agent?.name ?? '',
    session: 's',
    bootId: 'b',
    version: '1',
    transport: 'wss',
    address: '10.0.0.7',
    node: 'n',
    down: null,
    now: Date.now(),
  });
  let csrDer = Buffer.alloc(0);
  try {
    csrDer = Buffer.from(requestDer(csr));
  } catch {
    // Nothing to sign over: the frame goes out all the same.
  }
  const signature = change.signature ?? signTranscript(renewTranscript(csrDer, certificate), key);
  const { promise, resolve } = Promise.withResolvers<CentralControl>();
  const session = {
    facts: { agentId, epoch, address: '10.0.0.7', capabilities: [] },
    sendControl: resolve,
  } as unknown as Session;
  renewals.onFrame(session, { type: 'renew', csr, thumbprint: certificate, signature });
  return await promise;
}

describe('one key is one key, however its point is written', () => {
  for (const [way, enter] of Object.entries(WAYS)) {
    test(`a revoked key is refused in every form by way of ${way}`, async () => {
      const key = newKey();
      const id = await enrolled(key, 'branch-7');
      await store.agents.revoke(id, { reason: 'keyCompromise', now: Date.now(), text: 'stolen' }, ACT);
      const plain = await refusalOf(() => enter(requestOf(key, 'uncompressed', 'other')));
      const others: (string | undefined)[] = [];
      for (const form of OTHER_FORMS) others.push(await refusalOf(() => enter(requestOf(key, form, 'other'))));
      expect(plain).toMatch(/^agent_(key_known|revoked)$/);
      expect(others).toEqual([plain, plain]);
      expect(await store.agents.findByName('other')).toBeUndefined();
    });
  }

  for (const [way, enter] of Object.entries(WAYS)) {
    test(`a revoked key whose agent came back with another one, or was removed because it is compromised, is refused by way of ${way}`, async () => {
      const [key, compromised] = [newKey(), newKey()];
      const id = await enrolled(key, 'branch-7');
      await store.agents.revoke(id, { reason: 'unspecified', now: Date.now(), text: 'lost' }, ACT);
      const { code } = await recoveries.make(id, 1, CENTRAL);
      const csr = requestOf(newKey(), 'uncompressed', 'branch-7');
      const proof = recoveryProof(recoveryKey(readRecoveryCode(code) ?? ''), {
        name: 'branch-7',
        id: undefined,
        pin: null,
        csrDer: requestDer(csr),
      });
      await enrollment.enroll({ csr, name: 'branch-7', pin: null, proof }, WS);
      const removed = await enrolled(compromised, 'branch-8');
      await store.agents.revoke(removed, { reason: 'keyCompromise', now: Date.now(), text: 'stolen' }, ACT);
      await store.agents.remove(removed, ACT);
      for (const form of FORMS) {
        for (const old of [key, compromised])
          expect(await refusalOf(() => enter(requestOf(old, form, 'other')))).toMatch(/^agent_(key_revoked|id_taken)$/);
      }
      expect(await store.agents.findByName('other')).toBeUndefined();
    });
  }

  test('an agent that enrolls in any form has the one public key on record and in its certificate', async () => {
    for (const form of FORMS) {
      const key = newKey();
      const id = await enrolled(key, `branch-${form}`, form);
      const agent = await store.agents.get(id);
      expect(agent?.publicKey).toBe(spkiIn('uncompressed', key).toString('base64'));
      expect([agent?.id, agent?.keyThumbprint, agent?.certificate?.keyThumbprint]).toEqual(
        Array.from({ length: 3 }, () => keyThumbprint(createPublicKey(key))),
      );
    }
  });

  test('a renewal for the current key in another form is one for the current key', async () => {
    const key = newKey();
    const id = await enrolled(key, 'branch-7');
    expect(await renew(id, key, requestOf(key, 'compressed'))).toMatchObject({ type: 'renewed' });
    expect(await store.agents.get(id)).toMatchObject({
      next: null,
      keyThumbprint: keyThumbprint(createPublicKey(key)),
    });
  });

  test('a hello proves the same key in every form, and a client certificate is compared by value', async () => {
    const key = newKey();
    const challenge = {
      type: 'challenge',
      nonce: 'n'.repeat(22),
      centralName: 'central.test',
      sentAt: '2026-11-22T10:00:00.000Z',
    } as const;
    const seen = {
      listener: 'ws',
      origin: { address: '10.0.0.7', peer: '10.0.0.7', proxied: false, scheme: 'ws' },
      binding: null,
    } as const;
    const certificate = await authority.issueAgent({
      id: 'a',
      name: 'a',
      publicKey: createPublicKey({ key: spkiIn('compressed', key), format: 'der', type: 'spki' }),
      lifetimeDays: 1,
    });
    for (const form of FORMS) {
      const hello: Omit<Hello, 'signature'> = {
        type: 'hello',
        id: 'a',
        name: 'a',
        key: spkiIn(form, key).toString('base64'),
        version: '1',
        bootId: 'b'.repeat(22),
        challenge: challenge.nonce,
        nonce: 'm'.repeat(22),
        transport: 'ws',
        binding: null,
        releases: { profile: null, runtime: null, program: null },
        capabilities: [],
        logs: { down: null },
      };
      expect(
        await proveHello(
          { ...hello, signature: signTranscript(helloTranscript(challenge, hello), key) },
          challenge,
          seen,
        ),
      ).toEqual({ thumbprint: keyThumbprint(createPublicKey(key)) });
      expect(shownThumbprint(hello.key)).toBe(keyThumbprint(createPublicKey(key)));
      validateClientCertificate('required', certificate, {
        publicKey: canonicalP256(spkiIn(form, key)) ?? Buffer.alloc(0),
        own: null,
        authorities: () => [authority.certificate],
        now: Date.now(),
      });
    }
  });

  test('other encodings of a key are not read at all: BER lengths, parameters of its own, other curves, no point of the curve', () => {
    const key = newKey();
    const canonical = spkiIn('uncompressed', key);
    expect(readP256(canonical)?.equals(createPublicKey(key))).toBe(true);
    const longer = Buffer.concat([Buffer.from([0x30, 0x81, canonical.length - 2]), canonical.subarray(2)]);
    const indefinite = Buffer.concat([Buffer.from([0x30, 0x80]), canonical.subarray(2), Buffer.alloc(2)]);
    const padded = Buffer.concat([canonical, Buffer.alloc(1)]);
    const moved = Buffer.from(canonical);
    moved.writeUInt8((moved.at(-1) ?? 0) ^ 1, moved.length - 1);
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'der', type: 'spki' });
    const explicit = generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' }).publicKey.export({
      format: 'der',
      type: 'spki',
    });
    for (const other of [longer, indefinite, padded, moved, p384, explicit, Buffer.alloc(0), Buffer.alloc(91)]) {
      expect(readP256(other)).toBeUndefined();
      expect(readPublicKey(other.toString('base64'))).toBeUndefined();
    }
    const compressed = createPrivateKey(key.export({ format: 'pem', type: 'pkcs8' }));
    expect(spkiOf(createPublicKey(compressed))).toEqual(canonical);
    expect(
      verify(
        'sha256',
        Buffer.from('x'),
        readP256(spkiIn('compressed', key)) ?? '',
        sign('sha256', Buffer.from('x'), key),
      ),
    ).toBe(true);
  });
});

describe('nothing is computed with a certificate request before its sender has shown that they may send one', () => {
  /**
   * 574 bytes that took longer than the universe has: @peculiar/x509 takes each line for a header or for a part of one.
   */
  const HEADERS = `-----BEGIN CERTIFICATE REQUEST-----\n${' a: b\n'.repeat(80)}-----END CERTIFICATE REQUEST-----\n`;
  const proof = '0'.repeat(64);

  test('the 574 bytes that stopped Central cost nothing, under any policy, by any way, and in a renewal', async () => {
    const body = JSON.stringify({ csr: HEADERS, name: 'x', token: 'x' });
    expect(body.length).toBeLessThan(700);
    const answers: (string | undefined)[] = [];
    const used = await cpuMs(async () => {
      for (policy of ['closed', 'token', 'approve'] as const) {
        for (const more of [
          { token: 'x' },
          { token: await newToken() },
          { tokenId: 'x', proof },
          {},
          { pin: null, proof },
        ]) {
          answers.push(await refusalOf(() => enrollment.enroll({ csr: HEADERS, name: 'x', ...more }, WSS)));
        }
      }
    });
    expect(new Set(answers)).toEqual(
      new Set(['enrollment_closed', 'csr_unreadable', 'enrollment_refused', 'enrollment_token_needed']),
    );
    const key = newKey();
    const id = await enrolled(key, 'branch-7');
    const renewed = await cpuMs(async () =>
      expect(await renew(id, key, HEADERS)).toMatchObject({ type: 'renew-refused', code: 'csr_unreadable' }),
    );
    expect(used).toBeLessThan(10 * MAX_CPU_MS);
    expect(renewed).toBeLessThan(MAX_CPU_MS);
  });

  test('a wrong token, a wrong proof and a wrong code are refused as such, whatever the request is', async () => {
    const forged = requestOf(newKey(), 'uncompressed', 'branch-7', newKey());
    expect(() => readRequest(forged)).toThrow(expect.objectContaining({ code: 'csr_signature' }));
    const { id: tokenId = '' } = readEnrollmentToken(await newToken()) ?? {};
    expect(await refusalOf(() => enrollment.enroll({ csr: HEADERS, name: 'x', token: 'qge_wrong' }, WSS))).toBe(
      'enrollment_refused',
    );
    expect(await refusalOf(() => enrollment.enroll({ csr: forged, name: 'branch-7', token: 'qge_wrong' }, WSS))).toBe(
      'enrollment_refused',
    );
    expect(await refusalOf(() => enrollment.enroll({ csr: forged, name: 'branch-7', tokenId, proof }, WS))).toBe(
      'enrollment_refused',
    );
    expect(await refusalOf(() => enrollment.enroll({ csr: forged, name: 'branch-7', pin: null, proof }, WS))).toBe(
      'recovery_code_unknown',
    );
    expect(
      await refusalOf(
        async () => await enrollment.enroll({ csr: forged, name: 'branch-7', token: await newToken() }, WSS),
      ),
    ).toBe('csr_signature');
  });

  test('a renewal of a certificate that Central did not issue, or not signed by the current key, is refused before its request is verified', async () => {
    const key = newKey();
    const id = await enrolled(key, 'branch-7');
    const forged = requestOf(newKey(), 'uncompressed', 'branch-7', newKey());
    const issuedBefore = (await store.certificates.ofAgent(id, 10)).length;
    expect(await renew(id, key, forged, { certificate: 'ab'.repeat(32) })).toMatchObject({
      code: 'renewal_certificate_unknown',
    });
    expect(await renew(id, key, requestOf(key, 'uncompressed'), { certificate: 'cd'.repeat(32) })).toMatchObject({
      code: 'renewal_certificate_unknown',
    });
    expect(await renew(id, newKey(), forged)).toMatchObject({ code: 'renewal_signature' });
    expect(await renew(id, key, forged)).toMatchObject({ code: 'csr_signature' });
    expect(await store.certificates.ofAgent(id, 10)).toHaveLength(issuedBefore);
    expect(await renew(id, key, requestOf(key, 'uncompressed'))).toMatchObject({ type: 'renewed' });
  });

  test('a request with another kind of key is refused before its signature is verified', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const information = sequence(
      positive(Buffer.from([0])),
      sequence(),
      createPublicKey(privateKey).export({ format: 'der', type: 'spki' }),
      der(0xa0),
    );
    const pem = pemOf(
      'CERTIFICATE REQUEST',
      sequence(information, sequence(oid('1.2.840.113549.1.1.11')), bits(Buffer.alloc(256))),
    );
    expect(() => readRequest(pem)).toThrow(
      expect.objectContaining({ code: 'csr_key_type', message: expect.stringContaining('rsa') }),
    );
  });
});

describe('wrong secrets take nothing from their owner', () => {
  test('after thirty wrong recovery codes for an agent the right one recovers it', async () => {
    const name = freshName();
    const agent = await store.agents.get(await enrolled(newKey(), name));
    const { code } = await recoveries.make(agent?.id ?? '', 1, CENTRAL);
    const csr = requestOf(newKey(), 'uncompressed', name);
    const recover = (secret: string): Promise<unknown> => {
      const proof = recoveryProof(recoveryKey(secret), { name, id: undefined, pin: null, csrDer: requestDer(csr) });
      return enrollment.enroll({ csr, name, pin: null, proof }, WS);
    };
    const right = readRecoveryCode(code) ?? '';
    const wrong = `${right.slice(0, -1)}${right.endsWith('0') ? '1' : '0'}`;
    for (let i = 0; i < 30; i += 1) expect(await refusalOf(() => recover(wrong))).toBe('recovery_code_unknown');
    expect(await recover(right)).toMatchObject({ id: agent?.id });
  });

  test('after thirty wrong secrets and proofs for an enrollment token the right one enrolls', async () => {
    const token = await newToken();
    const wrong = `${token.slice(0, -2)}${token.endsWith('AA') ? 'BB' : 'AA'}`;
    const { id: tokenId = '' } = readEnrollmentToken(token) ?? {};
    const name = freshName();
    const csr = requestOf(newKey(), 'uncompressed', name);
    for (let i = 0; i < 30; i += 1) {
      expect(await refusalOf(() => enrollment.enroll({ csr, name, token: wrong }, WSS))).toBe('enrollment_refused');
      expect(await refusalOf(() => enrollment.enroll({ csr, name, tokenId, proof: '0'.repeat(64) }, WS))).toBe(
        'enrollment_refused',
      );
    }
    expect(await enrollment.enroll({ csr, name, token }, WSS)).toMatchObject({ name });
  });
});

// The one list of what ends when: everything that matters is in it, each warning is given once, and never again after a
// restart.
import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { CENTRAL } from '../../../central/audit.ts';
import { createMetrics } from '../../../central/metrics.ts';
import { trustBundle } from '../../../central/pki/trust/trust-bundle.ts';
import { openAuthority } from '../../../central/pki/authority/authority.ts';
import { Expiry, type WatchedCertificate } from '../../../central/pki/expiry.ts';
import { issuedCertificate } from '../../../central/enrollment/credentials.ts';
import { makeKeyPair } from '../../../central/pki/x509/key-algorithms.ts';
import { openServerIdentity } from '../../../central/pki/server/server-identity.ts';
import { chainOf, credentialsOf } from '../../../central/pki/server/slots.ts';
import { openSigningCertificate, openSigningKey } from '../../../central/pki/authority/signing-key.ts';
import { memoryStore } from '../fakes.ts';
import { ACT } from '../store/samples.ts';
import { makeBank } from './server/bank.ts';

const DAY = 86_400_000;

interface Line {
  readonly level: 'warn' | 'error';
  readonly facts: Record<string, unknown>;
  readonly text: string;
}

async function setUp() {
  let now = Date.now();
  const clock = () => now;
  const store = memoryStore();
  const { keyMaterial } = store;
  const authority = await openAuthority({ keyMaterial, central: 'central.test', now: clock });
  const signing = await openSigningCertificate({
    keyMaterial,
    authority,
    signingKey: await openSigningKey({ keyMaterial, now: clock }),
    central: 'central.test',
    lifetimeDays: () => 365,
    now: clock,
  });
  const identity = await openServerIdentity({ keyMaterial, authority, now: clock });
  const spec = { names: ['central.test'], subjectAlternativeNames: [], distinguishedName: '', lifetimeDays: 365 };
  await identity.adopt(await identity.make(spec), CENTRAL);
  const lines: Line[] = [];
  const log = {
    warn: (facts: object, text: string) => void lines.push({ level: 'warn', facts: { ...facts }, text }),
    error: (facts: object, text: string) => void lines.push({ level: 'error', facts: { ...facts }, text }),
  };
  const metrics = createMetrics();
  const open = () =>
    new Expiry({
      authority,
      identity,
      signing,
      trust: trustBundle(authority, identity),
      certificates: store.certificates,
      metrics,
      log,
      now: clock,
    });
  const { publicKey } = await makeKeyPair();
  const enroll = async (id: string, lifetimeDays: number): Promise<void> => {
    const certificate = await authority.issueAgent({ id, name: id, publicKey, lifetimeDays });
    await store.certificates.recordIssued(issuedCertificate(certificate, authority, id, now), ACT);
  };
  const all = async (request: Partial<Parameters<Expiry['list']>[0]> = {}): Promise<readonly WatchedCertificate[]> =>
    (await open().list({ limit: 1000, ...request })).certificates;
  return {
    authority,
    identity,
    signing,
    spec,
    store,
    lines,
    metrics,
    open,
    enroll,
    all,
    pass: (days: number) => (now += days * DAY),
  };
}

test('certificates are parsed once, however often they are listed', async () => {
  const { authority, identity, spec, signing, open } = await setUp();
  const { id } = await authority.prepare(await authority.makeRoot(), CENTRAL);
  await authority.assign({ [id]: 'next' }, 'ca.rotation.publish', CENTRAL);
  await identity.adopt(await identity.make(spec), CENTRAL);
  const expiry = open();
  const first = await expiry.list({ limit: 1000 });
  let reads = 0;
  const { current, previous } = identity.slots;
  const parsed = [current, previous].flatMap((slot) => (slot === undefined ? [] : chainOf(slot)));
  for (const certificate of [...authority.all().flatMap(({ chain }) => chain), signing.current(), ...parsed]) {
    const { raw } = certificate;
    Object.defineProperty(certificate, 'raw', {
      get() {
        reads += 1;
        return raw;
      },
    });
  }
  for (let i = 0; i < 5; i += 1) expect(await expiry.list({ limit: 1000 })).toEqual(first);
  expect(reads).toBe(0);
  await identity.adopt(await identity.make(spec), CENTRAL);
  expect(await expiry.list({ limit: 1000 })).not.toEqual(first);
});

test('the list has every certificate that matters, each once, by its end, with where it is used', async () => {
  const { authority, identity, spec, enroll, all } = await setUp();
  await enroll('branch-2', 200);
  await enroll('branch-1', 100);
  const { id } = await authority.prepare(await authority.makeRoot(), CENTRAL);
  await authority.assign({ [id]: 'next' }, 'ca.rotation.publish', CENTRAL);
  await identity.adopt(await identity.make(spec), CENTRAL);
  const bank = makeBank();
  const { key, certificate } = bank.issue('central', { days: 50 });
  await identity.keepStaged(
    credentialsOf(key, certificate + bank.intermediate.certificate + bank.root.certificate, 'imported'),
    CENTRAL,
    'import',
  );
  const listed = await all();
  expect(listed.slice(0, 3).map(({ kind, slot }) => `${kind} ${slot}`)).toEqual([
    'server staged',
    'agent branch-1',
    'agent branch-2',
  ]);
  const names = listed.map(({ kind, slot }) => `${kind} ${kind === 'trust' ? '' : slot}`);
  expect(names.toSorted()).toEqual([
    'agent branch-1',
    'agent branch-2',
    'authority current',
    'authority next',
    'server current',
    'server previous',
    'server staged',
    'signing current',
    'trust ',
    'trust ',
  ]);
  expect(new Set(listed.map(({ thumbprint }) => thumbprint)).size).toBe(listed.length);
  expect(listed.map(({ notAfter }) => notAfter)).toEqual(
    listed.map(({ notAfter }) => notAfter).toSorted((a, b) => a - b),
  );
  expect(listed[1]).toMatchObject({ agent: 'branch-1', daysLeft: 99, usedFor: 'the agent branch-1' });
  expect(listed.find(({ subject }) => subject.includes('CN=Example Bank Root'))?.thumbprint).toBe(
    new X509Certificate(bank.root.certificate).fingerprint256.replaceAll(':', '').toLowerCase(),
  );
});

test('the list is paged and filtered', async () => {
  const { enroll, open, all } = await setUp();
  for (let i = 0; i < 5; i += 1) await enroll(`branch-${i}`, 10 + i);
  const seen: string[] = [];
  let after;
  do {
    const page = await open().list({ limit: 2, ...(after === undefined ? {} : { after }) });
    expect(page.certificates.length).toBeLessThanOrEqual(2);
    seen.push(...page.certificates.map(({ thumbprint }) => thumbprint));
    after = page.next ?? undefined;
  } while (after !== undefined);
  expect(seen).toEqual((await all()).map(({ thumbprint }) => thumbprint));
  expect(seen).toHaveLength(8);
  expect((await all({ expiresWithinDays: 12 })).map(({ slot }) => slot)).toEqual(['branch-0', 'branch-1', 'branch-2']);
  expect((await all({ kind: 'signing' })).map(({ kind }) => kind)).toEqual(['signing']);
  expect(await all({ kind: 'agent', expiresWithinDays: 1 })).toEqual([]);
});

test('warns at 60, 30, 14, 7 and 1 days and at the end, none twice, also after a restart', async () => {
  const { lines, open, pass } = await setUp();
  const expiry = open();
  const about = () =>
    lines
      .splice(0)
      .filter(({ facts }) => facts['kind'] === 'server')
      .map(({ level, text }) => `${level} ${text}`);
  await expiry.warn();
  expect(about()).toEqual([]);
  pass(304);
  await expiry.warn();
  expect(about()).toEqual([]);
  for (const [days, said] of [
    [2, 'warn a certificate expires within 60 days'],
    [30, 'warn a certificate expires within 30 days'],
    [16, 'warn a certificate expires within 14 days'],
    [7, 'warn a certificate expires within 7 days'],
    [5.5, 'warn a certificate expires within 1 day'],
    [1, 'error a certificate has expired'],
  ] as const) {
    pass(days);
    await expiry.warn();
    expect(about()).toEqual([said]);
    await expiry.warn();
    await open().warn();
    expect(about()).toEqual([]);
  }
});

test('a Central that was stopped says only the latest step', async () => {
  const { lines, open, pass } = await setUp();
  pass(355);
  await open().warn();
  expect(lines.filter(({ facts }) => facts['kind'] === 'server')).toMatchObject([
    {
      text: 'a certificate expires within 14 days',
      facts: { daysLeft: 9, usedFor: expect.stringContaining('WebSocket (wss)') },
    },
  ]);
});

test('short-lived certificates are not warned of while their renewal is not even due', async () => {
  const { lines, open, enroll, pass } = await setUp();
  await enroll('branch-1', 30);
  await open().warn();
  pass(20);
  await open().warn();
  expect(lines).toEqual([]);
  pass(4);
  await open().warn();
  expect(lines).toMatchObject([
    { text: 'certificates of agents expire within 7 days', facts: { count: 1, agents: ['branch-1'] } },
  ]);
});

test('agents are notified in one line, however many', async () => {
  const { lines, open, enroll, pass } = await setUp();
  for (let i = 0; i < 25; i += 1) await enroll(`branch-${i}`, 200);
  pass(150);
  await open().warn();
  await open().warn();
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatchObject({ level: 'warn', facts: { count: 25 } });
  expect(lines[0]?.facts['agents']).toHaveLength(10);
});

test('metrics have the seconds left of each of ours, and of agents the soonest end and how many are near it', async () => {
  const { authority, metrics, open, enroll, pass } = await setUp();
  await enroll('branch-1', 20);
  await enroll('branch-2', 200);
  await open().measure();
  const text = await metrics.registry.metrics();
  expect(text).toMatch(/^queuegate_certificate_expiry_seconds\{kind="server",slot="current"\} 31[45]\d{5}$/m);
  expect(text).toMatch(/^queuegate_certificate_expiry_seconds\{kind="authority",slot="current"\} 630\d{6}$/m);
  expect(text).toMatch(/^queuegate_certificate_expiry_seconds\{kind="agent",slot="soonest"\} 1[67]\d{5}$/m);
  expect(text).toMatch(/^queuegate_agent_certificates\{expires_within_days="30"\} 1$/m);
  expect(text).toMatch(/^queuegate_agent_certificates\{expires_within_days="14"\} 0$/m);
  // What is retired leaves no line behind.
  const next = await authority.prepare(await authority.makeRoot(), CENTRAL);
  await open().measure();
  expect(await metrics.registry.metrics()).toContain('slot="prepared"');
  await authority.assign({ [next.id]: 'retired' }, 'ca.rotation.retire', CENTRAL);
  pass(1);
  await open().measure();
  expect(await metrics.registry.metrics()).not.toMatch(/slot="(prepared|retired)"/);
});

test('what has expired is a problem: each certificate of ours in use, and one for all agents', async () => {
  const { open, enroll, pass } = await setUp();
  for (let i = 0; i < 7; i += 1) await enroll(`branch-${i}`, 10 + i);
  const expiry = open();
  await expiry.measure();
  expect(expiry.problems()).toEqual([]);
  pass(400);
  await expiry.measure();
  const found = expiry.problems().map(({ code, detail }) => `${code}: ${detail.replace(/\d{4}-\S+Z/, 'T')}`);
  expect(found).toContainEqual(
    expect.stringMatching(
      /^central_certificate_expired: The certificate server current \(.*\) expired at T. Use: shown on/,
    ),
  );
  expect(expiry.problems()[0]?.subject).toEqual({
    kind: 'certificate',
    id: expect.stringMatching(/^[0-9a-f]{64}$/),
    name: expect.stringMatching(/^\w+ current$/),
  });
  expect(found).toContainEqual(
    expect.stringMatching(
      /^agent_certificates_expired: The certificates of 7 agents have expired: branch-0, branch-1,/,
    ),
  );
  expect(found.filter((line) => line.includes('authority'))).toEqual([]);
});

test('what is not valid yet is a problem: each certificate of ours in use, while the clock is behind', async () => {
  const { open, pass } = await setUp();
  const expiry = open();
  pass(-2);
  await expiry.measure();
  const [first] = expiry.problems();
  expect(first?.code).toBe('central_certificate_not_yet_valid');
  expect(first?.hint).toMatch(/^Correct the clock of this host/);
  expect(new Set(expiry.problems().map(({ detail }) => /certificate (\w+)/.exec(detail)?.[1]))).toEqual(
    new Set(['authority', 'server', 'signing']),
  );
  pass(2);
  await expiry.measure();
  expect(expiry.problems()).toEqual([]);
});

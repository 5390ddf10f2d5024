// What an agent makes of what Central names: its truststore, its record, its answer.
import { randomUUID, X509Certificate } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadManagedRoots } from '../../../agent/trust/managed-roots.ts';
import { createTrustUpdates } from '../../../agent/trust/updates.ts';
import { makeCertificate } from '../../../central/pki/x509/certificate.ts';
import { makeKeyPair } from '../../../central/pki/x509/key-algorithms.ts';
import type { AgentControl, Trust } from '../../../shared/wire/messages.ts';
import { fingerprintOf, updateTrusted } from '../../../shared/truststore/update.ts';
import { openFile } from '../../../shared/truststore/write.ts';
import { openssl, temporaryFolder } from '../../central/pki/folder.ts';
import type { AgentKey } from '../../../agent/identity/identity.ts';
import { NEW_EC_KEY } from '../../tool-arguments.ts';

interface Root {
  readonly pem: string;
  readonly der: Buffer;
  readonly thumbprint: string;
  readonly certificate: X509Certificate;
}

function setUp({ secure = true, file = 'conf/security/truststore.jks' } = {}) {
  const folder = temporaryFolder();
  const truststore = folder.path(file);
  const written: string[] = [];
  const lines: string[] = [];
  const shown: { line: X509Certificate[]; now: X509Certificate[] } = { line: [], now: [] };
  const log = {
    info: (_facts: object, text: string) => void lines.push(text),
    warn: (_facts: object, text: string) => void lines.push(text),
  };
  const control = createTrustUpdates({
    conf: async () => ({
      central: { secure, proxied: false, endpoints: [], port: 1, proxies: { wss: undefined, ws: undefined } },
      truststore: { path: truststore, password: 'changeit', declaredType: undefined, origin: 'test' },
    }),
    dataFolder: folder.path('.'),
    onWritten: async (path) => void written.push(path),
    log,
    now: Date.now,
  });
  const answers: AgentControl[] = [];
  const waiting: ((answer: AgentControl) => void)[] = [];
  const send = (answer: AgentControl): void => {
    answers.push(answer);
    waiting.shift()?.(answer);
  };
  control.onOnline(send, { key: NO_KEY, shown: () => shown.line, shownNow: async () => shown.now });
  return {
    control,
    folder,
    truststore,
    written,
    lines,
    shown,
    answers,
    send,
    root: (): Root => {
      const name = randomUUID();
      openssl(
        'req',
        '-x509',
        ...NEW_EC_KEY,
        '-keyout',
        folder.path('key'),
        '-subj',
        `/CN=${name}`,
        '-days',
        '30',
        '-out',
        folder.path('crt'),
      );
      const pem = readFileSync(folder.path('crt'), 'utf8');
      const certificate = new X509Certificate(pem);
      return { pem, der: certificate.raw, thumbprint: fingerprintOf(certificate.raw), certificate };
    },
    byHand: async (...roots: Root[]): Promise<void> => {
      mkdirSync(folder.path('conf/security'), { recursive: true });
      await updateTrusted({
        file: truststore,
        password: 'changeit',
        add: roots.map(({ der }) => der),
        remove: new Set(),
      });
      // Unless a test says else, Central shows what the first of them verifies.
      shown.line = roots.slice(0, 1).map(({ certificate }) => certificate);
    },
    given: async (...roots: Root[]): Promise<AgentControl> => {
      const { promise, resolve } = Promise.withResolvers<AgentControl>();
      waiting.push(resolve);
      control.onFrame(trust(...roots));
      return await promise;
    },
    there: async (): Promise<string[]> => {
      const { store } = await openFile(truststore, 'changeit');
      return store.entries.flatMap(({ certificates }) => certificates.map((der) => fingerprintOf(der)));
    },
  };
}

function trust(...roots: Root[]): Trust {
  return { type: 'trust', pem: roots.map(({ pem }) => pem).join(''), signature: 'looked at before' };
}

const trusted = (...roots: Root[]) => ({ type: 'trusted', thumbprints: roots.map(({ thumbprint }) => thumbprint) });

/** Two roots of one key and one name, from these times on. */
async function reissued(...times: [number, number]): Promise<[Root, Root]> {
  const { privateKey: selfKey, publicKey } = await makeKeyPair();
  const make = async (now: number): Promise<Root> => {
    const order = { profile: 'root', subject: 'CN=Root', publicKey, lifetimeDays: 30, now, selfKey } as const;
    const certificate = await makeCertificate(order);
    const pem = certificate.toString();
    return { pem, der: certificate.raw, thumbprint: fingerprintOf(certificate.raw), certificate };
  };
  return [await make(times[0]), await make(times[1])];
}

/** Trust asks nothing of it. */
const NO_KEY = {} as AgentKey;

describe('an agent that learns what to trust', () => {
  it('takes out what Central gave and names no more, and nothing that a person put there', async () => {
    const { root, byHand, given, there, written, truststore, folder } = setUp();
    const [hand, old, next] = [root(), root(), root()];
    await byHand(hand, old);
    expect(await given(old, next)).toEqual(trusted(old, next));
    expect(await there()).toEqual([hand, old, next].map(({ thumbprint }) => thumbprint));
    expect(await loadManagedRoots(folder.path('.'))).toEqual([next.thumbprint]);
    expect(await given(old)).toEqual(trusted(old));
    expect(await there()).toEqual([hand, old].map(({ thumbprint }) => thumbprint));
    expect(await loadManagedRoots(folder.path('.'))).toEqual([]);
    // A root that Central names no more, and a person put there.
    expect(await given(next)).toEqual(trusted(next));
    expect(await there()).toEqual([hand, old, next].map(({ thumbprint }) => thumbprint));
    expect(written).toEqual([truststore, truststore, truststore]);
    const bytes = readFileSync(truststore);
    expect(await given(next)).toEqual(trusted(next));
    expect(readFileSync(truststore)).toEqual(bytes);
    expect(written).toHaveLength(3);
  });

  it('keeps what verifies the certificate that Central shows', async () => {
    const { root, byHand, given, there, shown } = setUp();
    const [hand, old, next] = [root(), root(), root()];
    await byHand(hand);
    await given(old, next);
    shown.line = [old.certificate];
    shown.now = [old.certificate];
    expect(await given(next)).toMatchObject({ type: 'trust-refused', code: 'trust_would_cut_off' });
    expect(await there()).toContain(old.thumbprint);
    // The open connection is older than what Central shows.
    shown.now = [next.certificate];
    expect(await given(next)).toEqual(trusted(next));
    expect(await there()).not.toContain(old.thumbprint);
  });

  it('keeps a root that is valid now when the one that comes for it is not', async () => {
    const { root, byHand, given, there, shown, lines } = setUp();
    const hand = root();
    // One key and one name, as of a root that was reissued.
    const [old, early] = await reissued(Date.now(), Date.parse('2040-01-01'));
    await byHand(hand);
    await given(old);
    shown.line = [old.certificate];
    shown.now = [old.certificate];
    expect(await given(early)).toMatchObject({ type: 'trust-refused', code: 'trust_would_cut_off' });
    expect(await there()).toEqual([hand, old].map(({ thumbprint }) => thumbprint));
    expect(await given(old, early)).toEqual(trusted(old, early));
    expect(lines.at(-1)).toMatch(/is valid from 2039-12-31 on only .*: look at the clock of this machine/);
  });

  it('answers what went wrong, says it once, and leaves the store as it is', async () => {
    const { root, byHand, given, truststore, lines, folder } = setUp();
    const [hand, next] = [root(), root()];
    await byHand(hand);
    const whole = readFileSync(truststore);
    chmodSync(truststore, 0o444);
    expect(await given(next)).toEqual({
      type: 'trust-refused',
      code: 'truststore_read_only',
      detail: `The truststore ${truststore} is read-only.`,
      hint: expect.stringContaining('chmod u+w'),
    });
    await given(next);
    expect(lines).toHaveLength(1);
    expect(readFileSync(truststore)).toEqual(whole);
    chmodSync(truststore, 0o644);
    writeFileSync(truststore, whole.subarray(0, 50));
    expect(await given(next)).toMatchObject({ code: expect.stringMatching(/^keystore_/) });
    writeFileSync(truststore, whole);
    expect(
      await given({ ...next, pem: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' }),
    ).toMatchObject({ code: 'trust_unreadable' });
    writeFileSync(folder.path('trust.json'), '{"given":7}');
    expect(await given(next)).toMatchObject({ code: 'trust_record_damaged' });
    writeFileSync(folder.path('trust.json'), '{"thumbprints":[]}');
    expect(await given(next)).toEqual(trusted(next));
  });

  it('without encryption makes the truststore for the day when it is needed; where none can be, it says so and nothing is wrong', async () => {
    const plain = setUp({ secure: false });
    const next = plain.root();
    expect(await plain.given(next)).toEqual(trusted(next));
    expect(await plain.there()).toEqual([next.thumbprint]);
    const umask = process.umask(0);
    const open = setUp({ secure: false });
    await open.given(open.root()).finally(() => process.umask(umask));
    // An account that may write to the folder decides whom the agent trusts.
    expect([statSync(dirname(open.truststore)).mode & 0o777, statSync(open.truststore).mode & 0o777]).toEqual([
      0o755, 0o644,
    ]);
    const nameless = setUp({ secure: false, file: 'truststore' });
    expect(await nameless.given(nameless.root())).toEqual(trusted());
    expect(existsSync(nameless.truststore)).toBe(false);
    const secure = setUp({ file: 'truststore' });
    expect(await secure.given(secure.root())).toMatchObject({ code: 'truststore_type_unknown' });
  });

  it('of several frames at once follows the newest, and answers only the open session', async () => {
    const { root, byHand, control, answers, send, there } = setUp();
    const [hand, one, two, three] = [root(), root(), root(), root()];
    await byHand(hand);
    control.onFrame(trust(one));
    control.onFrame(trust(two));
    control.onFrame(trust(three));
    while (answers.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(answers).toEqual([trusted(one), trusted(three)]);
    expect(await there()).toEqual([hand.thumbprint, three.thumbprint]);
    control.onFrame(trust(one, three));
    control.onOffline();
    while (!(await there()).includes(one.thumbprint)) await new Promise((resolve) => setTimeout(resolve, 5));
    control.onOnline(send, { key: NO_KEY, shown: () => [], shownNow: async () => [] });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(answers).toHaveLength(2);
  });
});

// What an agent makes of what Central names: the file with it, what it trusts in all, its answer.
import { randomUUID, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadManagedRoots, trustFile } from '../../../agent/trust/managed-roots.ts';
import { loadTrusted } from '../../../agent/trust/trusted.ts';
import { createTrustUpdates } from '../../../agent/trust/updates.ts';
import { makeCertificate } from '../../../central/pki/x509/certificate.ts';
import { makeKeyPair } from '../../../central/pki/x509/key-algorithms.ts';
import type { AgentControl, Trust } from '../../../shared/wire/messages.ts';
import { fingerprintOf, updateTrusted } from '../../../shared/truststore/update.ts';
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
  control.onOnline(send, { key: NO_KEY, time: 0, shown: () => shown.line, shownNow: async () => shown.now });
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
    sent: async (...roots: Root[]): Promise<AgentControl> => {
      const { promise, resolve } = Promise.withResolvers<AgentControl>();
      waiting.push(resolve);
      control.onFrame(trust(...roots));
      return await promise;
    },
    file: trustFile(folder.path('.')),
    /** What Central gave. */
    there: async (): Promise<string[]> => (await loadManagedRoots(folder.path('.'))).map((der) => fingerprintOf(der)),
    /** All that counts for a connection. */
    trusts: async (): Promise<readonly string[]> => (await loadTrustedOf(folder.path('.'), truststore)).ca,
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

async function loadTrustedOf(dataFolder: string, path: string) {
  const truststore = { path, password: 'changeit', declaredType: undefined, origin: 'test' };
  return await loadTrusted({ truststore, dataFolder });
}

/** Trust asks nothing of it. */
const NO_KEY = {} as AgentKey;

describe('an agent that learns what to trust', () => {
  it('trusts what Central names and no more of what it named before, beside what a person put into the profile, which stays as it is', async () => {
    const { root, byHand, sent, there, trusts, written, truststore, file } = setUp();
    const [hand, old, next] = [root(), root(), root()];
    await byHand(hand, old);
    const profile = readFileSync(truststore);
    expect(await sent(old, next)).toEqual(trusted(old, next));
    expect(await there()).toEqual([old, next].map(({ thumbprint }) => thumbprint));
    expect(await trusts()).toEqual([hand, old, next].map(({ pem }) => pem));
    expect(await sent(old)).toEqual(trusted(old));
    expect(await there()).toEqual([old.thumbprint]);
    // A root that Central names no more, and a person put there.
    expect(await sent(next)).toEqual(trusted(next));
    expect(await trusts()).toEqual([hand, old, next].map(({ pem }) => pem));
    expect(written).toEqual([file, file, file]);
    expect(await sent(next)).toEqual(trusted(next));
    expect(written).toHaveLength(3);
    expect(readFileSync(truststore)).toEqual(profile);
    expect([statSync(file).mode & 0o777, statSync(dirname(file)).mode & 0o777]).toEqual([0o600, 0o700]);
  });

  it('keeps what verifies the certificate that Central shows', async () => {
    const { root, byHand, sent, there, shown } = setUp();
    const [hand, old, next] = [root(), root(), root()];
    await byHand(hand);
    await sent(old, next);
    shown.line = [old.certificate];
    shown.now = [old.certificate];
    expect(await sent(next)).toMatchObject({ type: 'trust-refused', code: 'trust_would_cut_off' });
    expect(await there()).toContain(old.thumbprint);
    // The open connection is older than what Central shows.
    shown.now = [next.certificate];
    expect(await sent(next)).toEqual(trusted(next));
    expect(await there()).not.toContain(old.thumbprint);
  });

  it('keeps a root that is valid now when the one that comes for it is not', async () => {
    const { root, byHand, sent, there, shown, lines } = setUp();
    const hand = root();
    // One key and one name, as of a root that was reissued.
    const [old, early] = await reissued(Date.now(), Date.parse('2040-01-01'));
    await byHand(hand);
    await sent(old);
    shown.line = [old.certificate];
    shown.now = [old.certificate];
    expect(await sent(early)).toMatchObject({ type: 'trust-refused', code: 'trust_would_cut_off' });
    expect(await there()).toEqual([old.thumbprint]);
    expect(await sent(old, early)).toEqual(trusted(old, early));
    expect(lines.at(-1)).toMatch(/is valid from 2039-12-31 on only .*: look at the clock of this machine/);
  });

  it('answers what went wrong, says it once, and leaves what it trusts as it is', async () => {
    const { root, byHand, sent, lines, file, there, folder } = setUp();
    const [hand, next, last] = [root(), root(), root()];
    await byHand(hand);
    await sent(next);
    const unreadable = { ...last, pem: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' };
    const before = lines.length;
    expect(await sent(unreadable)).toMatchObject({ type: 'trust-refused', code: 'trust_unreadable' });
    expect(await sent(unreadable)).toMatchObject({ code: 'trust_unreadable' });
    expect(lines).toHaveLength(before + 1);
    expect(await there()).toEqual([next.thumbprint]);
    // A folder that is not one: nothing can be written.
    rmSync(folder.path('trust'), { recursive: true });
    writeFileSync(folder.path('trust'), '');
    expect(await sent(last)).toMatchObject({ type: 'trust-refused', detail: expect.stringContaining('trust') });
    rmSync(folder.path('trust'));
    expect(await sent(last)).toEqual(trusted(last));
    writeFileSync(file, 'damaged');
    await expect(loadTrustedOf(folder.path('.'), 'none.jks')).rejects.toMatchObject({ code: 'file_missing' });
    writeFileSync(file, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    await expect(loadTrustedOf(folder.path('.'), 'none.jks')).rejects.toMatchObject({ code: 'trust_file_damaged' });
    expect(await sent(last)).toEqual(trusted(last));
    expect(await there()).toEqual([last.thumbprint]);
  });

  it('needs no truststore in the profile, on ws or wss; one that is damaged is still an error', async () => {
    for (const secure of [false, true]) {
      const { root, sent, trusts, truststore, folder } = setUp({ secure });
      const next = root();
      expect(await sent(next)).toEqual(trusted(next));
      expect(existsSync(truststore)).toBe(false);
      expect(await trusts()).toEqual([next.pem]);
      mkdirSync(dirname(truststore), { recursive: true });
      writeFileSync(truststore, Buffer.alloc(50, 7));
      await expect(loadTrustedOf(folder.path('.'), truststore)).rejects.toMatchObject({
        code: expect.stringMatching(/^keystore_/),
      });
    }
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
    expect(await there()).toEqual([three.thumbprint]);
    control.onFrame(trust(one, three));
    control.onOffline();
    while (!(await there()).includes(one.thumbprint)) await new Promise((resolve) => setTimeout(resolve, 5));
    control.onOnline(send, { key: NO_KEY, time: 0, shown: () => [], shownNow: async () => [] });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(answers).toHaveLength(2);
  });
});

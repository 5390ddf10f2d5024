// When an agent renews, what it takes for an answer, and that at each step of it there is a key on disk that Central
// takes.
import { X509Certificate } from 'node:crypto';
import { cp, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  adoptNextKey,
  keepIdentity,
  loadCredentials,
  loadNextKey,
  loadOrCreateKey,
  loadOrCreateNextKey,
  saveIdentity,
  type AgentKey,
} from '../../../agent/identity/identity.ts';
import { connectWithKeys } from '../../../agent/connection/loop.ts';
import type { ConnectionEnd, DialPlan } from '../../../agent/connection/connection.ts';
import { Renewal, renewalTime } from '../../../agent/renewal/renewal.ts';
import { openAuthority, type Authority } from '../../../central/pki/authority/authority.ts';
import { chainPem, thumbprintOf } from '../../../central/pki/x509/certificate.ts';
import { readRequest } from '../../../central/pki/x509/csr.ts';
import { readPublicKey, renewTranscript, verifyTranscript } from '../../../shared/wire/proof.ts';
import type { AgentControl, Renew } from '../../../shared/wire/messages.ts';
import { validityOf } from '../../../shared/x509/validity.ts';
import { memoryStore } from '../../central/fakes.ts';

const DAY = 86_400_000;
const ID = 'a1';

let folder: string;
let authority: Authority;
let clock: number;
let first: AgentKey;
const folders: string[] = [];

async function newFolder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'queuegate-renewal-'));
  folders.push(made);
  return made;
}

beforeEach(async () => {
  folder = await newFolder();
  clock = Date.now();
  authority = await openAuthority({
    keyMaterial: memoryStore().keyMaterial,
    central: 'central.test',
    now: () => clock,
  });
  first = await loadOrCreateKey(folder);
  await saveIdentity(folder, {
    id: ID,
    name: 'branch',
    central: 'central.test',
    signingKey: 'S'.repeat(64),
    certificate: await issue(first),
    host: 'h',
    port: 1,
    secure: true,
  });
});
afterEach(async () => {
  for (const made of folders.splice(0)) await rm(made, { recursive: true, force: true });
});

async function issue(
  key: { readonly publicKey: string },
  { id = ID, by = authority, lifetimeDays = 100 } = {},
): Promise<string> {
  const publicKey = readPublicKey(key.publicKey);
  if (publicKey === undefined) throw new Error('no key');
  return chainPem([await by.issueAgent({ id, name: 'branch', publicKey, lifetimeDays })]);
}

/** An agent whose timers run when a test says so. */
function agent(more: { freshKey?: boolean; trusted?: string[]; onNow?: () => void } = {}) {
  const timers: { at: number; run: () => void }[] = [];
  const sent: AgentControl[] = [];
  const logged: { level: string; facts: Record<string, unknown>; text: string }[] = [];
  const note = (level: string) => (facts: object, text: string) =>
    void logged.push({ level, facts: facts as Record<string, unknown>, text });
  const keys: AgentKey[] = [];
  let [cameBack, written] = [0, 0];
  const renewal = new Renewal({
    folder,
    freshKey: () => more.freshKey ?? true,
    trusted: async () => more.trusted ?? [authority.pem],
    reconnect: () => (cameBack += 1),
    onWritten: async () => void (written += 1),
    onKey: (key) => keys.push(key),
    log: { debug: note('debug'), info: note('info'), warn: note('warn') },
    now() {
      more.onNow?.();
      return clock;
    },
    after(ms, run) {
      const timer = { at: clock + ms, run };
      timers.push(timer);
      return () => void (timers.includes(timer) && timers.splice(timers.indexOf(timer), 1));
    },
    random: () => 0.5,
  });
  const settled = async (): Promise<void> => await renewal.alone(async () => undefined);
  return {
    renewal,
    sent,
    logged,
    keys,
    timers,
    settled,
    cameBack: () => cameBack,
    written: () => written,
    async online(key = first): Promise<void> {
      renewal.onOnline((frame) => sent.push(frame), key);
      await settled();
    },
    /** The clock goes on, and what is due on the way runs. */
    async pass(ms: number): Promise<void> {
      const until = clock + ms;
      for (;;) {
        const next = timers.filter(({ at }) => at <= until).toSorted((a, b) => a.at - b.at)[0];
        if (next === undefined) break;
        timers.splice(timers.indexOf(next), 1);
        clock = Math.max(clock, next.at);
        next.run();
        await settled();
      }
      clock = until;
    },
    async hears(frame: Parameters<Renewal['onFrame']>[0]): Promise<void> {
      renewal.onFrame(frame);
      await settled();
    },
    /** The request that is out, checked as Central does; its key. */
    async asked(): Promise<{ publicKey: string; frame: Renew }> {
      const frame = sent.findLast((one): one is Renew => one.type === 'renew');
      if (frame === undefined) throw new Error('nothing was asked');
      const csr = readRequest(frame.csr);
      const current = readPublicKey((await loadOrCreateKey(folder)).publicKey);
      expect(
        current !== undefined && verifyTranscript(renewTranscript(csr.der, frame.thumbprint), frame.signature, current),
      ).toBe(true);
      return { publicKey: csr.spki.toString('base64'), frame };
    },
  };
}

const certificateNow = async (): Promise<X509Certificate> =>
  new X509Certificate((await loadCredentials(folder))?.identity.certificate ?? '');

describe('the time of a renewal', () => {
  it('is between 45 and 55 percent of the lifetime, and is the same at each look', async () => {
    const times = await Promise.all(Array.from({ length: 40 }, async () => new X509Certificate(await issue(first))));
    const shares = times.map((one) => {
      const { from, to } = validityOf(one);
      return (renewalTime(one) - from.getTime()) / (to.getTime() - from.getTime());
    });
    expect(Math.min(...shares)).toBeGreaterThanOrEqual(0.45);
    expect(Math.max(...shares)).toBeLessThanOrEqual(0.55);
    expect(new Set(shares.map((share) => share.toFixed(3))).size).toBeGreaterThan(20);
    expect(renewalTime(times[0] as X509Certificate)).toBe(renewalTime(new X509Certificate(times[0]?.raw ?? '')));
  });

  it('is waited for, and not overslept when the machine slept', async () => {
    const one = agent();
    await one.online();
    await one.pass(44 * DAY);
    expect(one.sent).toEqual([]);
    while (one.sent.length === 0) await one.pass(3_600_000);
    expect(one.sent[0]).toMatchObject({ type: 'renew', thumbprint: thumbprintOf(await certificateNow()) });
    expect(Math.abs(clock - renewalTime(await certificateNow()))).toBeLessThanOrEqual(3_600_000);
    const slept = agent();
    clock += 200 * DAY;
    await slept.online();
    expect(slept.sent).toHaveLength(1);
  });

  it('is not waited for while offline: an agent that is stopped while it reads its files ends', async () => {
    const one = agent({ onNow: () => one.renewal.onOffline() });
    await one.online();
    expect([one.timers, one.sent]).toEqual([[], []]);
  });

  it('is now, spread over the time that Central gives, when Central says so', async () => {
    const one = agent();
    await one.online();
    await one.hears({ type: 'renew-now', spreadSeconds: 100 });
    await one.pass(49_000);
    expect(one.sent).toEqual([]);
    await one.pass(2_000);
    expect(one.sent).toHaveLength(1);
  });
});

describe('a renewal', () => {
  it('with a fresh key: on disk before it is sent, kept beside the current one, welcomed, and only then the current one', async () => {
    const one = agent();
    clock += 60 * DAY;
    await one.online();
    const { publicKey } = await one.asked();
    const next = await loadNextKey(folder);
    expect([next?.publicKey === publicKey, publicKey === first.publicKey]).toEqual([true, false]);
    const certificate = await issue({ publicKey });
    await one.hears({ type: 'renewed', pem: certificate });
    expect(one.sent.at(-1)).toEqual({
      type: 'renew-installed',
      thumbprint: thumbprintOf(new X509Certificate(certificate)),
    });
    expect(await loadCredentials(folder)).toMatchObject({
      key: { publicKey: first.publicKey },
      next: { key: { publicKey }, identity: { certificate } },
    });
    await one.pass(5_000);
    expect(one.cameBack()).toBe(1);
    one.renewal.onOffline();
    if (next === undefined) throw new Error('no next key');
    await one.online(next);
    expect(one.keys.map((key) => key.publicKey)).toEqual([publicKey]);
    const after = await loadCredentials(folder);
    expect([after?.key.publicKey, after?.identity.certificate, after?.next, await loadNextKey(folder)]).toEqual([
      publicKey,
      certificate,
      undefined,
      undefined,
    ]);
    expect((await readdir(folder)).toSorted()).toEqual(['agent-key.pem', 'identity.json']);
    expect(one.logged.filter(({ level }) => level === 'warn')).toEqual([]);
    // The answer, and the first welcome.
    expect(one.written()).toBe(2);
  });

  it('with the same key: nothing but the certificate changes, and no one comes back', async () => {
    const one = agent({ freshKey: false });
    clock += 60 * DAY;
    await one.online();
    const { publicKey } = await one.asked();
    expect(publicKey).toBe(first.publicKey);
    const certificate = await issue({ publicKey });
    await one.hears({ type: 'renewed', pem: certificate });
    expect(await loadCredentials(folder)).toMatchObject({ key: { publicKey }, identity: { certificate } });
    await one.pass(30_000);
    expect([one.cameBack(), one.sent.length]).toEqual([0, 2]);
  });

  it('asks again for the same key when the answer was lost, also after a restart', async () => {
    const one = agent();
    clock += 60 * DAY;
    await one.online();
    const { publicKey } = await one.asked();
    await one.pass(30_000);
    expect(one.logged.map(({ facts }) => facts['code'])).toEqual(['no_answer']);
    await one.pass(90_000);
    expect(one.sent).toHaveLength(2);
    const another = agent({ freshKey: false });
    await another.online();
    expect((await another.asked()).publicKey).toBe(publicKey);
  });

  it('goes on with the current key when Central does not know the next one, and asks again for it', async () => {
    const one = agent();
    clock += 60 * DAY;
    await one.online();
    const { publicKey } = await one.asked();
    await one.hears({ type: 'renewed', pem: await issue({ publicKey }) });
    one.renewal.onOffline();
    await one.online(first);
    expect(await loadCredentials(folder)).not.toHaveProperty('next');
    expect((await one.asked()).publicKey).toBe(publicKey);
    expect(one.sent.filter(({ type }) => type === 'renew')).toHaveLength(2);
  });

  it('that is refused is tried again, later each time, and reported once', async () => {
    const one = agent();
    clock += 60 * DAY;
    await one.online();
    const waits: number[] = [];
    for (let round = 0; round < 12; round += 1) {
      await one.hears({ type: 'renew-refused', code: 'renewal_failed', detail: 'No.', hint: 'Wait.' });
      const before = clock;
      const count = one.sent.length;
      while (one.sent.length === count) await one.pass(15_000);
      waits.push((clock - before) / 60_000);
    }
    expect(waits.slice(0, 4)).toEqual([1.25, 2.5, 5, 10]);
    expect(waits.at(-1)).toBe(450);
    expect(one.logged.filter(({ level }) => level === 'warn').map(({ text }) => text)).toEqual([
      'Central refused to renew the certificate: No. Wait.',
    ]);
  });

  it('takes nothing that is not what it asked for, and keeps what it has', async () => {
    const stranger = await openAuthority({
      keyMaterial: memoryStore().keyMaterial,
      central: 'central.test',
      now: () => clock,
    });
    clock += 60 * DAY;
    const before = await readFile(join(folder, 'identity.json'), 'utf8');
    const faults: [string, (asked: { publicKey: string }) => Promise<string>][] = [
      ['it is for another key', async () => await issue(first)],
      ['it is for URI:urn:queuegate:agent:a2', async (asked) => await issue(asked, { id: 'a2' })],
      ['no certificate in the truststore issued it', async (asked) => await issue(asked, { by: stranger })],
      [
        'and this machine',
        async (asked) => {
          clock -= 90 * DAY;
          const made = await issue(asked, { lifetimeDays: 1 });
          clock += 90 * DAY;
          return made;
        },
      ],
      ['it is none', async () => 'x'.repeat(99)],
    ];
    for (const [found, answer] of faults) {
      const one = agent();
      await one.online();
      await one.hears({ type: 'renewed', pem: await answer(await one.asked()) });
      expect(one.logged.at(-1), found).toMatchObject({
        level: 'warn',
        facts: { code: 'renewal_unfit' },
        text: expect.stringContaining(found),
      });
      expect(await readFile(join(folder, 'identity.json'), 'utf8')).toBe(before);
      expect(one.sent.filter(({ type }) => type === 'renew-installed')).toEqual([]);
      one.renewal.onOffline();
    }
    const unasked = agent();
    await unasked.hears({ type: 'renewed', pem: await issue(first) });
    expect(await readFile(join(folder, 'identity.json'), 'utf8')).toBe(before);
  });
});

describe('a power cut', () => {
  /** What Central takes at each step, and what is on disk then. */
  it('at any step leaves a key that Central takes, and the next start goes on from there', async () => {
    const steps: { name: string; folder: string; taken: string[] }[] = [];
    const cut = async (name: string, ...taken: AgentKey[]): Promise<void> => {
      const copy = await newFolder();
      await cp(folder, copy, { recursive: true });
      steps.push({ name, folder: copy, taken: taken.map(({ publicKey }) => publicKey) });
    };
    await cut('before anything', first);
    const next = await loadOrCreateNextKey(folder);
    await cut('the fresh key is on disk', first);
    await cut('Central has the request, and no one has the answer', first, next);
    const identity = (await loadCredentials(folder))?.identity;
    if (identity === undefined) throw new Error('no identity');
    const certificate = await issue(next);
    await keepIdentity(folder, { ...identity, nextCertificate: certificate });
    await cut('the certificate is kept', first, next);
    await cut('the certificate is kept, and Central was set back to before it', first);
    await cut('Central has welcomed the fresh key, and the agent does not know', next);
    await rename(join(folder, 'agent-key.next.pem'), join(folder, 'agent-key.pem'));
    await cut('the fresh key is the current one, and the identity is of before', next);
    await rename(join(folder, 'agent-key.pem'), join(folder, 'agent-key.next.pem'));
    await adoptNextKey(folder, { key: next, identity: { ...identity, certificate } });
    await cut('all is done', next);

    for (const step of steps) {
      const found = await loadCredentials(step.folder);
      if (found === undefined) throw new Error(step.name);
      const tried: string[] = [];
      const plan = { key: found.key, identity: found.identity, next: found.next } as DialPlan;
      await connectWithKeys(plan, async ({ key, identity: shown }) => {
        tried.push(key.publicKey);
        // What it shows in TLS fits the key; else OpenSSL would not begin.
        expect(new X509Certificate(shown.certificate).checkPrivateKey(key.privateKey), step.name).toBe(true);
        return (step.taken.includes(key.publicKey) ? {} : { refusedWith: 'agent_key_mismatch' }) as ConnectionEnd;
      });
      expect(step.taken, step.name).toContain(tried.at(-1));
    }
  });

  it('an enrollment forgets what was asked for before it', async () => {
    await loadOrCreateNextKey(folder);
    const identity = (await loadCredentials(folder))?.identity;
    if (identity !== undefined) await saveIdentity(folder, identity);
    expect(await loadNextKey(folder)).toBeUndefined();
  });
});

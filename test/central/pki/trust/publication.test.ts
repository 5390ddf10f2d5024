// Which agents get a trust update, when, and what their answers change; by a clock of the test's own.
import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { TrustPublication, type TrustSession } from '../../../../central/pki/trust/publication.ts';
import type { CentralControl } from '../../../../shared/wire/messages.ts';
import { trustTranscript, signTranscript, verifyTranscript } from '../../../../shared/wire/proof.ts';
import { MemoryCertificates } from '../../fakes.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });

function setUp() {
  let now = 0;
  const timers: { at: number; run: () => void }[] = [];
  const bundle = { roots: ['r1'] };
  const certificates = new MemoryCertificates();
  const sessions = new Map<string, TrustSession & { readonly sent: CentralControl[] }>();
  const warnings: object[] = [];
  const notes: string[] = [];
  let changes = 0;
  const publication = new TrustPublication({
    bundle: { thumbprints: () => [...bundle.roots], pem: () => bundle.roots.join('\n') },
    certificates,
    sign: (transcript) => signTranscript(transcript, privateKey),
    sessions: {
      each: (act) => sessions.forEach((session) => act(session)),
      of: (id) => sessions.get(id),
      online: async () => [...sessions.values()].map(({ facts }) => facts),
    },
    notes: { add: (subject, id, told) => void notes.push(`${subject} ${id} ${JSON.stringify(told)}`) },
    onChanged: () => void (changes += 1),
    log: { info() {}, warn: (facts) => void warnings.push(facts), error() {} },
    now: () => now,
    after(ms, run) {
      const timer = { at: now + ms, run };
      timers.push(timer);
      return () => void timers.splice(timers.indexOf(timer), 1);
    },
  });
  return {
    publication,
    bundle,
    certificates,
    warnings,
    notes,
    changes: () => changes,
    join: (id: string, capabilities: readonly string[] = ['trust']) => {
      const sent: CentralControl[] = [];
      const session = {
        facts: { agentId: id, agentName: id, sessionId: `session of ${id}`, capabilities },
        sent,
        sendControl: (frame: CentralControl) => void sent.push(frame),
      };
      sessions.set(id, session);
      publication.onOpened(session);
      return session;
    },
    leave: (id: string) => sessions.delete(id),
    /** Lets so much time pass, with all that falls due in it. */
    pass: async (ms: number): Promise<void> => {
      const end = now + ms;
      for (;;) {
        const [next] = timers.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at);
        if (next === undefined) break;
        timers.splice(timers.indexOf(next), 1);
        now = Math.max(now, next.at);
        next.run();
        for (let i = 0; i < 20; i += 1) await Promise.resolve();
      }
      now = end;
    },
  };
}

describe('what agents are to trust', () => {
  it('is said after a welcome to who has not said that he has just that, signed for his session', async () => {
    const { join, pass, certificates } = setUp();
    await certificates.recordTrust('has', ['r1']);
    await certificates.recordTrust('more', ['r1', 'retired']);
    const [has, more, fresh, old] = [join('has'), join('more'), join('fresh'), join('old', [])];
    await pass(200);
    expect([has.sent.length, more.sent.length, fresh.sent.length, old.sent.length]).toEqual([0, 1, 1, 0]);
    const [frame] = fresh.sent;
    if (frame?.type !== 'trust') throw new Error('no trust frame');
    expect(verifyTranscript(trustTranscript('session of fresh', 'r1'), frame.signature, publicKey)).toBe(true);
    expect(verifyTranscript(trustTranscript('session of more', 'r1'), frame.signature, publicKey)).toBe(false);
  });

  it('is said to all when it changes, whatever changed it, so many at a time', async () => {
    const { join, pass, bundle, publication, changes } = setUp();
    publication.start();
    const all = Array.from({ length: 120 }, (_, i) => join(`a${i}`));
    const informed = (): number => all.filter(({ sent }) => sent.length > 0).length;
    await pass(100);
    expect(informed()).toBe(50);
    await pass(200);
    expect(informed()).toBe(120);
    for (const session of all) {
      publication.onFrame(session, { type: 'trusted', thumbprints: ['r1'] });
      session.sent.length = 0;
    }
    await pass(5_000);
    expect(informed()).toBe(0);
    bundle.roots = ['r1', 'r2'];
    await pass(2_000);
    expect(informed()).toBe(120);
    expect(changes()).toBe(1);
    publication.stop();
    bundle.roots = ['r3'];
    await pass(60_000);
    expect(changes()).toBe(1);
  });

  it('records of an answer only roots that this session was sent, each once: not others of Central, nor those of another agent', async () => {
    const { join, pass, bundle, certificates, publication } = setUp();
    publication.start();
    const [liar, honest] = [join('liar'), join('honest')];
    await pass(200);
    bundle.roots = ['r1', 'r2'];
    publication.onFrame(liar, { type: 'trusted', thumbprints: ['r1', 'r1', 'r2', 'evil', 'prepared'] });
    expect(await certificates.trustOf('liar')).toEqual(['r1']);
    expect(await certificates.trustOf('honest')).toBeNull();
    await pass(2_000);
    // The answer to the first frame comes after the second one was sent.
    publication.onFrame(honest, { type: 'trusted', thumbprints: ['r1'] });
    publication.onFrame(liar, { type: 'trusted', thumbprints: ['r1', 'r2'] });
    await pass(100);
    expect([await certificates.trustOf('honest'), await certificates.trustOf('liar')]).toEqual([['r1'], ['r1', 'r2']]);
    // A session that was sent nothing has nothing to acknowledge.
    publication.onFrame(join('silent'), { type: 'trusted', thumbprints: ['r1'] });
    expect(await certificates.trustOf('silent')).toBeNull();
    publication.stop();
  });

  it('is sent again when it is as it was, while the answer to another one is awaited', async () => {
    const { join, pass, bundle, certificates, publication } = setUp();
    publication.start();
    await certificates.recordTrust('a', ['r1', 'r2']);
    const session = join('a');
    await pass(2_000);
    bundle.roots = ['r1', 'r2'];
    await pass(2_000);
    // The one root of the start, and both: the record says that it has both, and its answer to the first is on its way.
    expect(session.sent).toHaveLength(2);
    publication.onFrame(session, { type: 'trusted', thumbprints: ['r1'] });
    publication.onFrame(session, { type: 'trusted', thumbprints: ['r1', 'r2'] });
    await pass(2_000);
    expect(await certificates.trustOf('a')).toEqual(['r1', 'r2']);
    expect(session.sent).toHaveLength(2);
    publication.stop();
  });

  it('is sent again when it is as it was before anybody looked, to an agent that was sent another one meanwhile', async () => {
    const { join, pass, bundle, publication } = setUp();
    publication.start();
    bundle.roots = ['r1', 'r2'];
    const session = join('a');
    await pass(100);
    expect(session.sent.map((frame) => (frame.type === 'trust' ? frame.pem : ''))).toEqual(['r1\nr2']);
    publication.onFrame(session, { type: 'trusted', thumbprints: ['r1', 'r2'] });
    bundle.roots = ['r1'];
    await pass(2_000);
    expect(session.sent.at(-1)).toMatchObject({ type: 'trust', pem: 'r1' });
    publication.onFrame(session, { type: 'trusted', thumbprints: ['r1'] });
    const { length } = session.sent;
    await pass(60_000);
    expect(session.sent.length).toBe(length);
    publication.stop();
  });

  it('keeps why somebody refuses, says it once, tries again in ten minutes, and forgets it when he takes it', async () => {
    const { join, pass, publication, warnings } = setUp();
    publication.start();
    const session = join('a');
    await pass(1_000);
    const refuse = (): void =>
      publication.onFrame(session, {
        type: 'trust-refused',
        code: 'disk_full',
        detail: 'It is read-only.',
        hint: 'Make it writable.',
      });
    refuse();
    refuse();
    expect(publication.refusalOf('a')).toEqual({
      code: 'disk_full',
      detail: 'It is read-only.',
      hint: 'Make it writable.',
      at: 1_000,
    });
    expect(warnings).toHaveLength(1);
    expect(session.sent).toHaveLength(1);
    await pass(601_000);
    expect(session.sent).toHaveLength(2);
    publication.onFrame(session, { type: 'trusted', thumbprints: ['r1'] });
    expect(publication.refusalOf('a')).toBeUndefined();
    await pass(1_300_000);
    expect(session.sent).toHaveLength(2);
  });

  it('writes one answer of an agent at a time, and of those that came meanwhile the newest', async () => {
    const { join, pass, certificates, publication } = setUp();
    const writes: (readonly string[])[] = [];
    const finish: (() => void)[] = [];
    certificates.recordTrust = async (_id, thumbprints) => {
      writes.push(thumbprints);
      await new Promise<void>((resolve) => finish.push(resolve));
    };
    const session = join('a');
    await pass(200);
    publication.onFrame(session, { type: 'trusted', thumbprints: [] });
    for (let i = 0; i < 100; i += 1)
      publication.onFrame(session, { type: 'trusted', thumbprints: i === 99 ? ['r1'] : [] });
    expect(writes).toHaveLength(1);
    finish[0]?.();
    for (let i = 0; i < 5; i += 1) await Promise.resolve();
    expect(writes).toEqual([[], ['r1']]);
    finish[1]?.();
    for (let i = 0; i < 5; i += 1) await Promise.resolve();
    expect(writes).toHaveLength(2);
  });

  it('is not sent to agents that left meanwhile; those whose version takes no roots are named', async () => {
    const { join, leave, pass, publication } = setUp();
    const gone = join('gone');
    leave('gone');
    join('old', []);
    join('new');
    await pass(1_000);
    expect(gone.sent).toEqual([]);
    expect(await publication.unsupported()).toEqual(new Set(['old']));
  });
});

describe('what other nodes have to show', () => {
  const heard = (id: string, told: object) => ({
    subject: 'trust' as const,
    id,
    isDeleted: false,
    labelsBefore: null,
    body: JSON.stringify(told),
  });

  it('is that an agent refuses, once a minute, that it does no more, and that its version takes no roots', async () => {
    const { publication, join, pass, notes } = setUp();
    const session = join('a');
    await pass(1_000);
    const refused = { type: 'trust-refused', code: 'truststore_read_only', detail: 'no', hint: 'do' } as const;
    for (let n = 0; n < 20; n += 1) publication.onFrame(session, { ...refused, code: `code_${n}` });
    expect(notes).toEqual([expect.stringMatching(/^trust a \{"refusal":\{"code":"code_0"/)]);
    publication.onFrame(session, { type: 'trusted', thumbprints: ['r1'] });
    publication.onFrame(session, { type: 'trusted', thumbprints: ['r1'] });
    expect(notes.slice(1)).toEqual(['trust a {"refusal":null}']);
    join('old', []);
    expect(notes.slice(2)).toEqual(['trust old {"isUnsupported":true}']);
  });

  it('is shown here, until the agent accepts, or comes with another version', async () => {
    const { publication, join, notes } = setUp();
    const refusal = { code: 'c', detail: 'd', hint: 'h', at: 5 };
    await publication.follow([heard('there', { refusal }), heard('old', { isUnsupported: true })]);
    expect([publication.refusalOf('there'), [...(await publication.unsupported())]]).toEqual([refusal, ['old']]);
    join('old');
    expect([notes, [...(await publication.unsupported())]]).toEqual([['trust old {"isUnsupported":false}'], []]);
    await publication.follow([heard('there', { refusal: null })]);
    expect(publication.refusalOf('there')).toBeUndefined();
  });
});

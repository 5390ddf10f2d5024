// One enrolled agent that does what it must not, as often as it can: what it gets for it, and that Central hardly
// notices.
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeRequest } from '../../agent/enrollment/csr.ts';
import { LOGIN_BURST, RENEWAL_BURST } from '../../central/sessions/limits/agent-rate.ts';
import { databasePath } from '../../central/store/sqlite/threads/thread-data.ts';
import { renewTranscript, signTranscript } from '../../shared/wire/proof.ts';
import { CentralProcess, Cleanup, until } from './processes.ts';
import { carrierOf } from '../garbage/garbage.ts';
import { enrollKey, newKey, RawAgent, type HelloOrder, type RawKey } from './raw-agent.ts';

const cleanup = new Cleanup();
let central: CentralProcess;
let folder: string;
beforeAll(async () => {
  folder = await cleanup.folder();
  central = await CentralProcess.start(cleanup, folder);
});
afterAll(() => cleanup.run());

let count = 0;
async function enrolled(): Promise<HelloOrder & { key: RawKey }> {
  const key = newKey();
  count += 1;
  const name = `hostile-${count}`;
  return { key, name, id: await enrollKey(central, key, name), bootId: randomBytes(24).toString('base64url') };
}

async function online(order: HelloOrder, capabilities: readonly string[] = []): Promise<RawAgent> {
  const agent = await RawAgent.ws(cleanup, central);
  await agent.welcomed({ ...order, change: { capabilities: [...capabilities] } });
  return agent;
}

async function ended(agent: RawAgent): Promise<{ code: unknown; text: string; close: number }> {
  const { code: close } = await agent.close();
  const refuse = agent.frames.find(({ type }) => type === 'refuse');
  return { code: refuse?.['code'], text: String(refuse?.['detail']), close };
}

async function renewal(key: RawKey, next: RawKey, certificate: string): Promise<object> {
  const csr = await makeRequest(
    { privateKey: next.privateKey, pem: '', publicKey: next.spki, thumbprint: next.thumbprint },
    'raw',
  );
  return {
    type: 'renew',
    csr: csr.pem,
    thumbprint: certificate,
    signature: signTranscript(renewTranscript(csr.der, certificate), key.privateKey),
  };
}

/** Certificates that were issued to an agent, and all that are revoked. */
function certificates(id: string): { issued: number; revoked: number } {
  const database = new DatabaseSync(databasePath(folder), { readOnly: true });
  const number = (sql: string, ...args: string[]): number => (database.prepare(sql).get(...args) as { n: number }).n;
  const found = {
    issued: number('SELECT count(*) AS n FROM agent_certificate WHERE agent_id = ?', id),
    revoked: number('SELECT count(*) AS n FROM agent_certificate WHERE revoked_at IS NOT NULL'),
  };
  database.close();
  return found;
}

/** CPU time that Central has used (proc(5), /proc/[pid]/stat, fields 14 and 15, in hundredths of a second). */
async function cpuMs(): Promise<number> {
  const stat = await readFile(`/proc/${central.process.child.pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

const thumbprint = '0'.repeat(64);

describe('a frame beside the messages that may not come now', () => {
  it.each([
    { type: 'trusted', thumbprints: [] },
    { type: 'trust-refused', code: 'x', detail: 'x', hint: 'x' },
    { type: 'renew-installed', thumbprint },
  ])('an unsolicited $type ends the session, which says so', async (frame) => {
    const agent = await online(await enrolled());
    agent.send(frame);
    expect(await ended(agent)).toEqual({
      code: 'bad_frame',
      text: expect.stringContaining(`${frame.type} without`),
      close: 4510,
    });
  });

  it('a second renew while one is in flight ends the session', async () => {
    const order = await enrolled();
    const agent = await online(order, ['renewal']);
    const frame = await renewal(order.key, newKey(), thumbprint);
    // In one packet: the answer to the first cannot come in between.
    const carrier = carrierOf(agent.webSocket);
    carrier.cork();
    agent.send(frame);
    agent.send(frame);
    carrier.uncork();
    expect(await ended(agent)).toMatchObject({ code: 'bad_frame', text: expect.stringContaining('renew before') });
  });
});

describe('frames that have no window', () => {
  const FLOODS: readonly (readonly [string, (agent: RawAgent) => void])[] = [
    ['pongs', (agent) => agent.webSocket.pong(Buffer.alloc(125))],
    [
      'pause and resume',
      (agent) => agent.send({ type: agent.webSocket.bufferedAmount % 2 === 0 ? 'pause' : 'resume' }),
    ],
    ['frames of an unknown type', (agent) => agent.send({ type: 'new', more: 'x'.repeat(200) })],
    ['empty messages', (agent) => agent.send({ type: 'messages', first: 1, items: [] })],
    ['acks of nothing', (agent) => agent.send({ type: 'ack', through: 0 })],
  ];

  it.each(FLOODS)('%s: a flood ends the session', async (_what, send) => {
    const agent = await online(await enrolled());
    agent.send({ type: 'begin', incarnation: 'flood', next: 1, missing: null });
    await agent.frame('begin');
    for (let i = 0; i < 5_000; i += 1) send(agent);
    expect(await ended(agent)).toMatchObject({ code: 'control_rate', close: 4515 });
  });

  it('pings: a flood ends the session, by a refusal or, when the answers to them are not read, by a cut', async () => {
    const agent = await online(await enrolled());
    for (let i = 0; i < 20_000; i += 1) agent.webSocket.ping(Buffer.alloc(125));
    expect([1006, 4515]).toContain((await ended(agent)).close);
  });

  it('an honest pace goes on', async () => {
    const agent = await online(await enrolled());
    for (let i = 0; i < 50; i += 1) agent.webSocket.ping();
    for (let i = 0; i < 100; i += 1) agent.send({ type: 'of a newer version', more: i });
    agent.send({ type: 'begin', incarnation: 'honest', next: 1, missing: null });
    agent.send({ type: 'messages', first: 1, items: [{ specversion: '1.0', id: '1', source: '/s', type: 't' }] });
    await agent.frame('ack');
    expect(agent.closed).toBeUndefined();
  });

  it('five megabytes of them cost Central less than a second of CPU time', async () => {
    const order = await enrolled();
    const before = await cpuMs();
    for (let session = 0; session < 10; session += 1) {
      const agent = await online(order);
      const frame = JSON.stringify({ type: 'trusted', thumbprints: Array.from({ length: 60 }, () => thumbprint) });
      for (let i = 0; i < 125; i += 1) agent.webSocket.send(frame);
      await agent.close();
    }
    expect((await cpuMs()) - before).toBeLessThan(1_000);
  });
});

describe('an agent that logs in as often as it can', () => {
  it('is welcomed so often and then sent away for so many seconds, before anything is written', async () => {
    const order = await enrolled();
    let welcomed = 0;
    const refusals: Record<string, unknown>[] = [];
    for (let i = 0; i < LOGIN_BURST + 60; i += 1) {
      const agent = await RawAgent.ws(cleanup, central);
      agent.send(agent.hello(order));
      const answer = await until(() => agent.frames.find(({ type }) => type === 'welcome' || type === 'refuse'));
      if (answer.type === 'welcome') welcomed += 1;
      else refusals.push(answer);
      agent.webSocket.terminate();
    }
    expect(welcomed).toBeGreaterThanOrEqual(LOGIN_BURST);
    expect(welcomed).toBeLessThan(LOGIN_BURST + 30);
    expect(refusals[0]).toMatchObject({ code: 'agent_login_rate', retryAfterSeconds: expect.any(Number) });
    expect(Number(refusals[0]?.['retryAfterSeconds'])).toBeGreaterThanOrEqual(1);
    expect(await central.agent(order.name)).toMatchObject({ epoch: welcomed });
  });

  it('a stranger who only knows its id cannot use up its logins', async () => {
    const order = await enrolled();
    const stranger = newKey();
    for (let i = 0; i < LOGIN_BURST + 10; i += 1)
      expect((await (await RawAgent.ws(cleanup, central)).refused({ ...order, key: stranger })).code).toBe(
        'agent_key_mismatch',
      );
    for (let i = 0; i < 10; i += 1) await online(order);
  });
});

describe('a renewal of a certificate that the agent does not have', () => {
  it('is refused, issues nothing, and lets the revocation list not grow', async () => {
    const order = await enrolled();
    const before = certificates(order.id);
    const agent = await online(order, ['renewal']);
    const codes = new Set<unknown>();
    for (let i = 0; i < RENEWAL_BURST + 5; i += 1) {
      agent.send(await renewal(order.key, newKey(), randomBytes(32).toString('hex')));
      const answers = await until(() => {
        const found = agent.frames.filter(({ type }) => type === 'renew-refused' || type === 'renewed');
        return found.length > i ? found : undefined;
      });
      expect(answers[i]?.type).toBe('renew-refused');
      codes.add(answers[i]?.['code']);
    }
    expect([...codes]).toEqual(['renewal_certificate_unknown', 'renewal_rate']);
    expect(certificates(order.id)).toEqual(before);
    expect(before.issued).toBe(1);
  });

  it('the right one is renewed; asked again with the same key it is the same one; and the next, and the next, only so often', async () => {
    const order = await enrolled();
    let current = ((await central.agent(order.name)) as { certificate: { thumbprint: string } }).certificate.thumbprint;
    const agent = await online(order, ['renewal']);
    const answers = (): number =>
      agent.frames.filter(({ type }) => type === 'renew-refused' || type === 'renewed').length;
    const ask = async (): Promise<Record<string, unknown>> => {
      const already = answers();
      agent.send(await renewal(order.key, order.key, current));
      await until(() => answers() > already || undefined);
      return agent.frames.findLast(({ type }) => type === 'renew-refused' || type === 'renewed') ?? {};
    };
    const first = await ask();
    expect(first['type']).toBe('renewed');
    expect((await ask())['pem']).toEqual(first['pem']);
    let renewed = 1;
    for (let i = 0; i < RENEWAL_BURST + 5; i += 1) {
      current = ((await central.agent(order.name)) as { certificate: { thumbprint: string } }).certificate.thumbprint;
      if ((await ask())['type'] === 'renewed') renewed += 1;
    }
    expect(renewed).toBeLessThanOrEqual(RENEWAL_BURST);
    expect(certificates(order.id).issued).toBe(renewed + 1);
  });
});

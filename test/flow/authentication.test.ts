// Who gets in, who does not, and with which code: a real Central, and an agent of the test's own that can speak
// wrongly.
import { createPublicKey, verify } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLONE_TURNS } from '../../central/store/agents/boot-history.ts';
import { CentralProcess, Cleanup, until } from './processes.ts';
import { enrollKey, newKey, RawAgent } from './raw-agent.ts';

const cleanup = new Cleanup();
let central: CentralProcess;
beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
});
afterAll(() => cleanup.run());

let count = 0;
async function enrolled() {
  const key = newKey();
  count += 1;
  const name = `raw-${count}`;
  return { key, name, id: await enrollKey(central, key, name) };
}

async function incidents(code: string, agent: string): Promise<Record<string, unknown>[]> {
  return await until(async () => {
    const { body } = await central.rest('GET', `/incidents?agent=${agent}`);
    const found = (body.items as Record<string, unknown>[]).filter((incident) => incident['code'] === code);
    return found.length > 0 ? found : undefined;
  });
}

describe('the welcome', () => {
  it('comes for a registered key on ws and on wss, and tells session, epoch and limits', async () => {
    const agent = await enrolled();
    const plain = await (await RawAgent.ws(cleanup, central)).welcomed(agent);
    expect(plain).toMatchObject({ epoch: 1, heartbeatSeconds: 15, logs: { up: null } });
    expect(await (await RawAgent.wss(cleanup, central)).welcomed(agent)).toMatchObject({ epoch: 2 });
  });

  it('is signed with a key that only Central has', async () => {
    const agent = await enrolled();
    const raw = await RawAgent.ws(cleanup, central);
    const welcome = await raw.welcomed(agent);
    const stranger = createPublicKey(newKey().privateKey);
    expect(
      verify('sha256', Buffer.from('anything'), stranger, Buffer.from(String(welcome['signature']), 'base64')),
    ).toBe(false);
    expect(Buffer.from(String(welcome['signature']), 'base64').length).toBeGreaterThan(60);
  });
});

describe('refused with a terminal code', () => {
  it('an unknown key', async () => {
    const key = newKey();
    expect(await (await RawAgent.ws(cleanup, central)).refused({ key, id: key.thumbprint, name: 'stranger' })).toEqual({
      code: 'agent_unknown',
      close: 4401,
    });
  });

  it('a wrong signature', async () => {
    const agent = await enrolled();
    expect(await (await RawAgent.wss(cleanup, central)).refused({ ...agent, tamper: { name: 'other' } })).toEqual({
      code: 'bad_signature',
      close: 4402,
    });
  });

  it('a replayed hello', async () => {
    const agent = await enrolled();
    const first = await RawAgent.ws(cleanup, central);
    const recorded = first.hello(agent);
    first.send(recorded);
    await first.frame('welcome');
    const second = await RawAgent.ws(cleanup, central);
    second.send(recorded);
    expect(await second.frame('refuse')).toMatchObject({ code: 'replayed_hello' });
    expect((await second.close()).code).toBe(4403);
  });

  it('a hello made for ws on the wss port', async () => {
    const agent = await enrolled();
    expect(
      await (await RawAgent.wss(cleanup, central)).refused({ ...agent, change: { transport: 'ws', binding: null } }),
    ).toEqual({ code: 'wrong_transport', close: 4516 });
  });

  it('a hello without channel binding on the wss port', async () => {
    const agent = await enrolled();
    expect(await (await RawAgent.wss(cleanup, central)).refused({ ...agent, change: { binding: null } })).toEqual({
      code: 'binding_required',
      close: 4517,
    });
  });

  it('a hello bound to another TLS connection', async () => {
    const agent = await enrolled();
    const other = (await RawAgent.wss(cleanup, central)).hello(agent).binding;
    expect(await (await RawAgent.wss(cleanup, central)).refused({ ...agent, change: { binding: other } })).toEqual({
      code: 'binding_mismatch',
      close: 4518,
    });
  });

  it('another key under the same id, which is recorded for the administrator', async () => {
    const agent = await enrolled();
    const session = await RawAgent.ws(cleanup, central);
    await session.welcomed(agent);
    expect(await (await RawAgent.ws(cleanup, central)).refused({ ...agent, key: newKey() })).toEqual({
      code: 'agent_key_mismatch',
      close: 4407,
    });
    expect(await incidents('agent_key_mismatch', agent.id)).toMatchObject([{ address: '127.0.0.1' }]);
    expect(session.closed).toBeUndefined();
  });

  it('the name of another agent, which is recorded too', async () => {
    const [one, other] = [await enrolled(), await enrolled()];
    expect(await (await RawAgent.ws(cleanup, central)).refused({ ...other, name: one.name.toUpperCase() })).toEqual({
      code: 'agent_name_taken',
      close: 4408,
    });
    expect(await incidents('agent_name_taken', other.id)).toHaveLength(1);
  });

  it('something that is not a hello', async () => {
    const raw = await RawAgent.ws(cleanup, central);
    raw.send({ type: 'messages', first: 1, items: [] });
    expect(await raw.frame('refuse')).toMatchObject({ code: 'unsupported_protocol' });
    expect((await raw.close()).code).toBe(4400);
  });

  it('an agent that was removed, whose session ends at once', async () => {
    const agent = await enrolled();
    const session = await RawAgent.ws(cleanup, central);
    await session.welcomed(agent);
    expect((await central.rest('DELETE', `/agents/${agent.id}`)).status).toBe(204);
    expect((await session.close()).code).toBe(4409);
    expect(await (await RawAgent.ws(cleanup, central)).refused(agent)).toEqual({
      code: 'agent_unknown',
      close: 4401,
    });
  });
});

describe('two connections of one key', () => {
  it('the newer wins at once, the older is notified, and its writes are fenced off by the epoch', async () => {
    const agent = await enrolled();
    const older = await RawAgent.ws(cleanup, central);
    await older.welcomed(agent);
    const newer = await RawAgent.ws(cleanup, central);
    expect(await newer.welcomed(agent)).toMatchObject({ epoch: 2 });
    // The older one writes although it was refused: nothing of it may arrive.
    older.send({ type: 'begin', incarnation: 'old', next: 1, missing: null });
    older.send({ type: 'messages', first: 1, items: [{ specversion: '1.0', id: 'stale', source: '/s', type: 't' }] });
    expect(await older.frame('refuse')).toMatchObject({ code: 'superseded' });
    expect((await older.close()).code).toBe(4501);

    newer.send({ type: 'begin', incarnation: 'new', next: 1, missing: null });
    newer.send({ type: 'messages', first: 1, items: [{ specversion: '1.0', id: 'fresh', source: '/s', type: 't' }] });
    expect(await newer.frame('ack')).toMatchObject({ through: 1 });
    expect((await central.events(`&agent=${agent.id}`)).map(({ event }) => event['id'])).toEqual(['fresh']);
    expect(older.frames.some(({ type }) => type === 'ack')).toBe(false);
  });

  it('clones that take the session from each other go to quarantine, and both are notified', async () => {
    const agent = await enrolled();
    const boots = [newKey().thumbprint.slice(0, 32), newKey().thumbprint.slice(0, 32)];
    for (let i = 0; i < CLONE_TURNS + 2; i += 1)
      await (await RawAgent.ws(cleanup, central)).welcomed({ ...agent, bootId: boots[i % 2] ?? '' });
    const standing = await RawAgent.ws(cleanup, central);
    const refused = await standing.refused({ ...agent, bootId: boots[(CLONE_TURNS + 2) % 2] ?? '' });
    expect(refused).toEqual({ code: 'quarantined', close: 4502 });
    expect((await standing.frame('refuse'))['retryAfterSeconds']).toBe(600);
    expect(await (await RawAgent.ws(cleanup, central)).refused({ ...agent, bootId: boots[0] ?? '' })).toEqual({
      code: 'quarantined',
      close: 4502,
    });
    expect(await incidents('clone', agent.id)).toHaveLength(1);
    expect(await central.agent(agent.name)).toMatchObject({ state: 'quarantined' });
  });

  it('one boot on a flapping line never does', async () => {
    const agent = await enrolled();
    const bootId = newKey().thumbprint.slice(0, 32);
    for (let i = 0; i < 3 * CLONE_TURNS; i += 1)
      await (await RawAgent.ws(cleanup, central)).welcomed({ ...agent, bootId });
    expect((await central.agent(agent.name))?.['state']).toBe('online');
  });
});

describe('a connection that does not come to its welcome', () => {
  it('is notified and ended within the time of the parameter', async () => {
    expect((await central.change({ 'agents.welcomeTimeoutSeconds': 1 })).status).toBe(200);
    const raw = await RawAgent.ws(cleanup, central);
    expect(await raw.frame('refuse')).toMatchObject({ code: 'hello_timeout' });
    expect((await raw.close()).code).toBe(4504);
    await central.rest('DELETE', '/parameters/agents.welcomeTimeoutSeconds');
  });
});

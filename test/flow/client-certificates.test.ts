// websocket.secure.clientAuth: who is asked for a client certificate, and what is made of it.
import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentProcess, CentralProcess, Cleanup, until } from './processes.ts';
import { enrollKey, newKey, RawAgent, rawKey, tlsSession } from './raw-agent.ts';

const cleanup = new Cleanup();
let central: CentralProcess;
beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
});
afterAll(() => cleanup.run());

async function enrolled(name: string) {
  const key = newKey();
  return { key, name, id: await enrollKey(central, key, name) };
}

/** What an agent shows in TLS. */
async function credentialsOf({ folders }: AgentProcess): Promise<{ cert: string; key: string }> {
  const { certificate } = JSON.parse(await readFile(join(folders.data, 'identity.json'), 'utf8')) as {
    certificate: string;
  };
  return { cert: certificate, key: await readFile(join(folders.data, 'agent-key.pem'), 'utf8') };
}

describe('websocket.secure.clientAuth', () => {
  it('required: an enrolled agent shows its certificate and stays, one without is refused, sessions that stand are left alone', async () => {
    const before = await AgentProcess.enrolled(cleanup, central, 'before');
    const session = (await central.online('before'))['session'];
    const bare = await enrolled('bare');
    await (await RawAgent.wss(cleanup, central)).welcomed(bare);

    expect((await central.change({ 'websocket.secure.clientAuth': 'required' })).status).toBe(200);
    expect(await (await RawAgent.wss(cleanup, central)).refused(bare)).toEqual({
      code: 'certificate_required',
      close: 4410,
    });
    expect((await central.agent('before'))?.['session']).toEqual(session);
    // Enrollment keeps its port and needs no certificate; what it gives opens the door.
    await AgentProcess.enrolled(cleanup, central, 'after');
    await central.online('after');
    await before.stop();
    AgentProcess.start(cleanup, before.folders, 'before');
    await until(async () => (((await central.agent('before'))?.['epoch'] as number) > 1 ? true : undefined));
    await central.online('before');
  });

  it('required: a resumed TLS session shows the certificate of its first handshake, and is checked as that one: none, of another agent, revoked', async () => {
    expect((await central.change({ 'websocket.secure.clientAuth': 'none' })).status).toBe(200);
    const bare = await enrolled('bare-resumed');
    const unasked = await tlsSession(cleanup, central);
    expect((await central.change({ 'websocket.secure.clientAuth': 'required' })).status).toBe(200);
    const withNone = await tlsSession(cleanup, central);
    const agent = await AgentProcess.enrolled(cleanup, central, 'resumed');
    const id = String((await central.online('resumed'))['id']);
    await agent.stop();
    const client = await credentialsOf(agent);
    const order = { id, name: 'resumed', key: rawKey(createPrivateKey(client.key)) };
    const resume = async (session: Buffer): Promise<RawAgent> => {
      const raw = await RawAgent.wss(cleanup, central, { session });
      expect(raw.resumed).toBe(true);
      return raw;
    };

    const session = await tlsSession(cleanup, central, client);
    await (await resume(session)).welcomed(order);
    expect(await (await resume(withNone)).refused(order)).toEqual({ code: 'certificate_required', close: 4410 });
    // From before it was required: resumed or not, it shows none.
    expect(await (await RawAgent.wss(cleanup, central, { session: unasked })).refused(bare)).toEqual({
      code: 'certificate_required',
      close: 4410,
    });
    // A session of another agent, with its own key: and the other way round.
    expect(await (await resume(await tlsSession(cleanup, central, client))).refused(bare)).toEqual({
      code: 'certificate_foreign',
      close: 4411,
    });
    const late = await tlsSession(cleanup, central, client);
    expect((await central.rest('POST', `/agents/${id}/revoke`, { reason: 'keyCompromise' })).status).toBe(200);
    // Before any WebSocket is opened.
    await expect(RawAgent.wss(cleanup, central, { session: late })).rejects.toThrow('closed without challenge');
    await expect(RawAgent.wss(cleanup, central, { session: late, ...client })).rejects.toThrow(
      'closed without challenge',
    );
    expect(await (await resume(withNone)).refused(order)).toMatchObject({ code: 'agent_revoked' });
  });

  it('optional: a certificate of a stranger, or for another key, is refused, none at all is not', async () => {
    expect((await central.change({ 'websocket.secure.clientAuth': 'optional' })).status).toBe(200);
    const agent = await enrolled('raw-optional');
    await (await RawAgent.wss(cleanup, central)).welcomed(agent);
    const stranger = {
      cert: await readFile('test/fixtures/keystores/central.crt', 'utf8'),
      key: await readFile('test/fixtures/keystores/central.key', 'utf8'),
    };
    expect(await (await RawAgent.wss(cleanup, central, stranger)).refused(agent)).toEqual({
      code: 'certificate_foreign',
      close: 4411,
    });
    const other = await AgentProcess.enrolled(cleanup, central, 'other');
    await central.online('other');
    const borrowed = await credentialsOf(other);
    expect(await (await RawAgent.wss(cleanup, central, borrowed)).refused(agent)).toEqual({
      code: 'certificate_foreign',
      close: 4411,
    });
  });
});

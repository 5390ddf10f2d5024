// websocket.secure.clientAuth: who is asked for a client certificate, and what is made of it.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentProcess, CentralProcess, Cleanup, until } from './processes.ts';
import { enrollKey, newKey, RawAgent } from './raw-agent.ts';

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
    const identity = JSON.parse(await readFile(join(other.folders.data, 'identity.json'), 'utf8')) as {
      certificate: string;
    };
    const borrowed = {
      cert: identity.certificate,
      key: await readFile(join(other.folders.data, 'agent-key.pem'), 'utf8'),
    };
    expect(await (await RawAgent.wss(cleanup, central, borrowed)).refused(agent)).toEqual({
      code: 'certificate_foreign',
      close: 4411,
    });
  });
});

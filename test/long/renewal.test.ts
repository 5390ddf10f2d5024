// Renewal with real processes and certificates that live for seconds: at half of their life while messages flow, with a
// fresh key and with the same one; after their end, within the grace and beyond it; and one certificate renewed by two
// machines.
import { existsSync } from 'node:fs';
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeRequest } from '../../agent/enrollment/csr.ts';
import { renewTranscript, signTranscript } from '../../shared/wire/proof.ts';
import { agentFolders, AgentProcess, CentralProcess, Cleanup, ROOT, runRecover, until } from '../flow/processes.ts';
import { enrollKey, newKey, RawAgent, type RawKey } from '../flow/raw-agent.ts';

const LIFE_SECONDS = 16;
/** Half a life, and a machine that has other things to do. */
const TIMEOUT_MS = 180_000;

const cleanup = new Cleanup();
let central: CentralProcess;
beforeAll(async () => {
  const env = {
    NODE_OPTIONS: `--import=${pathToFileURL(join(ROOT, 'test/flow/short-lives.ts')).href}`,
    TEST_AGENT_LIFE_SECONDS: String(LIFE_SECONDS),
  };
  central = await CentralProcess.start(cleanup, await cleanup.folder(), [], env);
});
afterAll(() => cleanup.run());

interface Shown {
  readonly id: string;
  readonly epoch: number;
  readonly keyThumbprint: string;
  readonly certificate: { readonly thumbprint: string; readonly notAfter: string };
  readonly renewal: { readonly keyThumbprint: string } | null;
}

async function shown(name: string): Promise<Shown> {
  return (await central.agent(name)) as unknown as Shown;
}

/** The agent once `test` holds of it. */
async function once(name: string, test: (agent: Shown) => boolean): Promise<Shown> {
  return await until(async () => {
    const agent = await shown(name);
    return test(agent) ? agent : undefined;
  }, TIMEOUT_MS);
}

async function incidentsOf(id: string): Promise<{ code: string; detail: Record<string, unknown> }[]> {
  return (await central.rest('GET', `/incidents?agent=${id}`)).body.items;
}

/** Posts an event to the agent and a command to Central every 50 ms until `done`; their ids, in order. */
async function traffic(agent: AgentProcess, id: string, done: Promise<unknown>): Promise<string[]> {
  const ids: string[] = [];
  let over = false;
  void done.finally(() => (over = true));
  while (!over) {
    const message = { id: `m${ids.length}`, type: 'test.tick', data: ids.length };
    expect((await agent.local('POST', '/api/v1/events', message)).status).toBe(202);
    expect((await central.rest('POST', `/agents/${id}/commands`, message)).status).toBe(202);
    ids.push(message.id);
    await delay(50);
  }
  return ids;
}

describe('an agent whose certificate is half over', () => {
  it(
    'renews it with a fresh key and comes back with that, while messages flow both ways, and none is lost or doubled',
    async () => {
      const agent = await AgentProcess.enrolled(cleanup, central, 'fresh');
      await central.online('fresh');
      const before = await shown('fresh');
      const renewed = once('fresh', ({ keyThumbprint }) => keyThumbprint !== before.keyThumbprint);
      const sent = await traffic(
        agent,
        before.id,
        renewed.then(() => delay(500)),
      );
      const after = await renewed;
      expect(after.certificate.thumbprint).not.toBe(before.certificate.thumbprint);
      expect(Date.parse(after.certificate.notAfter)).toBeLessThan(
        Date.parse(before.certificate.notAfter) + LIFE_SECONDS * 1000,
      );
      await until(async () => ((await central.events(`&agent=${before.id}`)).length >= sent.length ? true : undefined));
      expect((await central.events(`&agent=${before.id}`)).map(({ event }) => event['id'])).toEqual(sent);
      const commands = await until(async () => {
        const { body } = await agent.local('GET', '/api/v1/commands?limit=1000');
        return body.items.length >= sent.length ? (body.items as { command: { id: string } }[]) : undefined;
      });
      expect(commands.map(({ command }) => command.id)).toEqual(sent);
      expect(await incidentsOf(before.id)).toEqual([]);
      expect(existsSync(join(agent.folders.data, 'agent-key.next.pem'))).toBe(false);
      expect((await agent.local('GET', '/api/v1/status')).body.keyThumbprint).toBe(after.keyThumbprint);
      // What is on disk now is whole: a start finds it.
      await agent.stop('SIGKILL');
      AgentProcess.start(cleanup, agent.folders, 'fresh');
      await once('fresh', ({ epoch }) => epoch > after.epoch);
      await agent.stop();
    },
    TIMEOUT_MS,
  );

  it(
    'renews it with the same key, if it is so set, within its session; over plain ws in the same way',
    async () => {
      const agent = await AgentProcess.enrolled(cleanup, central, 'same', [
        '--agent-renewal-fresh-key',
        'false',
        '--central-websocket-secure',
        'false',
        '--central-websocket-port',
        String(central.ports.ws),
      ]);
      await central.online('same');
      const before = await shown('same');
      const after = await once('same', ({ certificate }) => certificate.thumbprint !== before.certificate.thumbprint);
      expect((await central.agent('same'))?.['session']).toMatchObject({ transport: 'ws' });
      expect([after.keyThumbprint, after.epoch, after.renewal]).toEqual([before.keyThumbprint, before.epoch, null]);
      await until(async () =>
        (await readFile(join(agent.folders.data, 'identity.json'), 'utf8')).includes('nextCertificate')
          ? undefined
          : true,
      );
      await agent.stop();
    },
    TIMEOUT_MS,
  );
});

describe('an agent that was offline when its certificate expired', () => {
  it(
    'comes back by itself within the grace and renews at once; beyond it, it is refused with the hint, and comes back by a recovery code',
    async () => {
      const agent = await AgentProcess.enrolled(cleanup, central, 'late');
      await central.online('late');
      await agent.stop();
      const before = await shown('late');
      await delay(Date.parse(before.certificate.notAfter) - Date.now() + 100);

      await central.change({ 'agents.certificate.graceDays': 0 });
      const refused = AgentProcess.start(cleanup, agent.folders, 'late');
      const status = await until(async () => {
        const { connection } = (
          await refused.local('GET', '/api/v1/status').catch(() => ({ body: { connection: {} } }))
        ).body;
        return connection.state === 'stopped-by-refusal' ? connection : undefined;
      });
      expect(status.stateReason).toMatchObject({
        detail: expect.stringMatching(/expired on .* \(0 days, .*\(certificate_expired\)/),
        hint: expect.stringContaining('queuegate agents recovery-code create'),
      });
      const kinds = async (count: number): Promise<string[]> =>
        await until(async () => {
          const found = (await incidentsOf(before.id)).map(({ code }) => code);
          return found.length >= count ? found : undefined;
        });
      expect(await kinds(1)).toEqual(['certificate_expired']);
      await refused.stop();

      await central.change({ 'agents.certificate.graceDays': 1 });
      const back = AgentProcess.start(cleanup, agent.folders, 'late');
      await once('late', ({ epoch }) => epoch > before.epoch);
      const renewed = await once(
        'late',
        ({ keyThumbprint, certificate }) =>
          keyThumbprint !== before.keyThumbprint && Date.parse(certificate.notAfter) > Date.now(),
      );
      expect(await kinds(2)).toEqual(['certificate_expired_in_grace', 'certificate_expired']);
      expect(renewed.id).toBe(before.id);
      await back.stop();

      // Too late once more; this time with the hint that it received.
      await delay(Date.parse(renewed.certificate.notAfter) - Date.now() + 100);
      await central.change({ 'agents.certificate.graceDays': 0 });
      const cut = AgentProcess.start(cleanup, agent.folders, 'late');
      await cut.process.printed(/certificate_expired/);
      expect(await runRecover(agent.folders, 'late', await central.recoveryCode('late'))).toMatchObject({
        code: 0,
        stderr: '',
      });
      expect(await central.online('late')).toMatchObject({ id: before.id });
      await cut.stop();
      await central.change({ 'agents.certificate.graceDays': 1 });
    },
    TIMEOUT_MS,
  );
});

/** The request of an agent of the tests' own for a certificate on `next`. */
async function renew(agent: RawAgent, current: RawKey, next: RawKey, certificate: string) {
  const csr = await makeRequest(
    { privateKey: next.privateKey, pem: '', publicKey: next.spki, thumbprint: next.thumbprint },
    'raw',
  );
  agent.send({
    type: 'renew',
    csr: csr.pem,
    thumbprint: certificate,
    signature: signTranscript(renewTranscript(csr.der, certificate), current.privateKey),
  });
}

describe('one certificate renewed by two machines', () => {
  it(
    'is found out at the second, which is refused and recorded with both addresses; neither is cut off by it',
    async () => {
      const [key, first, second] = [newKey(), newKey(), newKey()];
      const id = await enrollKey(central, key, 'cloned');
      const { certificate } = await shown('cloned');
      const raw = await RawAgent.wss(cleanup, central);
      await raw.welcomed({ id, key, name: 'cloned', change: { capabilities: ['renewal'] } });
      await renew(raw, key, first, certificate.thumbprint);
      await raw.frame('renewed');
      await renew(raw, key, second, certificate.thumbprint);
      expect(await raw.frame('renew-refused')).toMatchObject({
        code: 'certificate_renewed_twice',
        hint: expect.stringContaining('queuegate incidents list'),
      });
      const incidents = await until(async () => {
        const found = await incidentsOf(id);
        return found.length > 0 ? found : undefined;
      });
      expect(incidents).toMatchObject([
        {
          code: 'certificate_renewed_twice',
          detail: { certificate: certificate.thumbprint, addresses: ['127.0.0.1', '127.0.0.1'] },
        },
      ]);
      expect(raw.closed).toBeUndefined();
      // Both keys are good until one is welcomed; the third never was anybody's.
      expect(await (await RawAgent.wss(cleanup, central)).refused({ id, key: second, name: 'cloned' })).toEqual({
        code: 'agent_key_mismatch',
        close: 4407,
      });
      await (await RawAgent.wss(cleanup, central)).welcomed({ id, key, name: 'cloned' });
      await (await RawAgent.wss(cleanup, central)).welcomed({ id, key: first, name: 'cloned' });
      expect(await (await RawAgent.wss(cleanup, central)).refused({ id, key, name: 'cloned' })).toEqual({
        code: 'agent_key_mismatch',
        close: 4407,
      });
    },
    TIMEOUT_MS,
  );

  it(
    'a request that the current key did not sign, and one that is none, are refused; the session goes on',
    async () => {
      const [key, next] = [newKey(), newKey()];
      const id = await enrollKey(central, key, 'forged');
      const { certificate } = await shown('forged');
      const raw = await RawAgent.wss(cleanup, central);
      await raw.welcomed({ id, key, name: 'forged' });
      await renew(raw, next, next, certificate.thumbprint);
      expect(await raw.frame('renew-refused')).toMatchObject({ code: 'renewal_signature' });
      expect(await shown('forged')).toMatchObject({
        renewal: null,
        certificate: { thumbprint: certificate.thumbprint },
      });
      expect(raw.closed).toBeUndefined();
    },
    TIMEOUT_MS,
  );
});

describe('a renewal that is cut short', () => {
  it(
    'leaves a key that Central takes, wherever the copy of the folder is from',
    async () => {
      const agent = await AgentProcess.enrolled(cleanup, central, 'cut');
      await central.online('cut');
      const before = await shown('cut');
      const copies: string[] = [];
      const { data } = agent.folders;
      // Every state of the files that a look every few milliseconds finds, from before the request to after the
      // promotion.
      let last = '';
      await until(async () => {
        const look = async (name: string): Promise<string> => await readFile(join(data, name), 'utf8').catch(() => '');
        const state = JSON.stringify([
          await look('agent-key.pem'),
          await look('agent-key.next.pem'),
          await look('identity.json'),
        ]);
        if (state !== last) {
          last = state;
          const folders = await agentFolders(cleanup);
          for (const name of ['agent-key.pem', 'agent-key.next.pem', 'identity.json'])
            await cp(join(data, name), join(folders.data, name)).catch(() => undefined);
          await cp(join(data, 'trust'), join(folders.data, 'trust'), { recursive: true });
          copies.push(folders.data);
        }
        return (await shown('cut')).keyThumbprint !== before.keyThumbprint &&
          !existsSync(join(data, 'agent-key.next.pem')) &&
          copies.length >= 2
          ? true
          : undefined;
      });
      await agent.stop('SIGKILL');
      const profile = agent.folders.profile;
      // After the promotion only copies that hold the fresh key are this agent; the first, from before the request, is
      // an old backup.
      let reached = 0;
      for (const copy of copies.slice(1)) {
        const epoch = (await shown('cut')).epoch;
        const holds =
          existsSync(join(copy, 'agent-key.next.pem')) &&
          (await readFile(join(copy, 'identity.json'), 'utf8')).includes('nextCertificate');
        const promoted = !existsSync(join(copy, 'agent-key.next.pem'));
        if (!holds && !promoted) continue;
        const again = AgentProcess.start(cleanup, { profile, data: copy }, 'cut');
        await once('cut', (now) => now.epoch > epoch);
        reached += 1;
        await again.stop();
      }
      expect(reached).toBeGreaterThanOrEqual(1);
    },
    TIMEOUT_MS,
  );
});

// Revocation with real processes: the session that ends, the doors that are shut (upgrade, hello, resumed TLS), the
// list that openssl reads, and an expired certificate of a stranger.
import { createPrivateKey } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { request, type RequestOptions } from 'node:https';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { makeCertificate } from '../../central/pki/x509/certificate.ts';
import { lacksPeer } from './false-hosts.ts';
import { agentFlags, AgentProcess, CentralProcess, Cleanup, run, runNode, until } from './processes.ts';
import { enrollKey, newKey, RawAgent, rawKey, tlsSession, type RawKey } from './raw-agent.ts';

const cleanup = new Cleanup();
const lasting = new Cleanup();
let central: CentralProcess;
let root: string;
beforeAll(async () => {
  central = await CentralProcess.start(lasting, await lasting.folder());
  root = String((await central.rest('GET', '/ca/trust-bundle.pem')).body);
});
afterEach(() => cleanup.run());
afterAll(() => lasting.run());

interface Client {
  readonly cert: string;
  readonly key: string;
}

/** An agent that runs, and what it proves itself with. */
async function running(name: string) {
  const agent = await AgentProcess.enrolled(cleanup, central, name);
  const { id } = await central.online(name);
  const { certificate } = JSON.parse(await readFile(join(agent.folders.data, 'identity.json'), 'utf8')) as {
    certificate: string;
  };
  return {
    agent,
    id: String(id),
    client: { cert: certificate, key: await readFile(join(agent.folders.data, 'agent-key.pem'), 'utf8') },
  };
}

const spki = (key: RawKey): string => key.privateKey.export({ type: 'pkcs8', format: 'pem' });

/** The answer to an upgrade by hand. */
async function upgrade(
  client: Client & { readonly session?: Buffer },
): Promise<{ status: number; body: string; resumed: boolean }> {
  const headers = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    'sec-websocket-protocol': 'queuegate.v1',
  };
  const options: RequestOptions = {
    host: 'localhost',
    port: central.ports.wss,
    path: '/agent',
    ca: root,
    agent: false,
    headers,
    ...client,
  };
  return await new Promise((resolve, reject) => {
    const sent = request(options);
    let resumed = false;
    sent.on('socket', (socket) =>
      socket.once('secureConnect', () => (resumed = socket instanceof TLSSocket && socket.isSessionReused())),
    );
    sent.on('upgrade', (_answer, socket) => {
      socket.destroy();
      resolve({ status: 101, body: '', resumed });
    });
    sent.on('response', (answer) => {
      let body = '';
      answer.on('data', (chunk: Buffer) => (body += chunk.toString()));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body, resumed }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

describe('an agent that is revoked', () => {
  it('loses its session with the revocation, stops dialling, and learns why; the doctor says the same', async () => {
    const { agent, id } = await running('stolen');
    const revoked = await central.rest('POST', `/agents/${id}/revoke?comment=the+PC+was+stolen`, {
      reason: 'keyCompromise',
    });
    expect(revoked).toMatchObject({
      status: 200,
      body: {
        state: 'revoked',
        stateReason: { detail: expect.stringContaining('the PC was stolen') },
        revocation: { reason: 'keyCompromise' },
        certificate: { revocation: { reason: 'keyCompromise' } },
      },
    });
    const { stateReason: reason } = await until(async () => {
      const { connection } = (await agent.local('GET', '/api/v1/status')).body;
      return connection.state === 'stopped-by-refusal' ? connection : undefined;
    });
    expect(reason).toMatchObject({
      detail: expect.stringMatching(/was revoked on Central \(keyCompromise\)\. \(agent_revoked\)$/),
      hint: expect.stringContaining('queuegate agents recovery-code create'),
    });
    expect((await central.agent('stolen'))?.['state']).toBe('revoked');
    await agent.stop();
    const doctor = await runNode('agent/cli.ts', ['doctor', ...agentFlags(agent.folders, 'stolen')]);
    expect([doctor.code, doctor.stdout]).toEqual([
      1,
      expect.stringMatching(/FAULT {3}authentication\n[^]*\(agent_revoked\)[^]*queuegate agents recovery-code create/),
    ]);
    const incidents = await until(async () => {
      const { body } = await central.rest('GET', `/incidents?agent=${id}`);
      return body.items.length > 0 ? (body.items as unknown[]) : undefined;
    });
    expect(incidents).toMatchObject([{ code: 'agent_revoked' }]);
    const metrics = await fetch(`http://127.0.0.1:${central.ports.http}/metrics`, {
      headers: { authorization: `Bearer ${central.token}` },
    });
    expect(await metrics.text()).toMatch(/queuegate_refusals_total\{code="agent_revoked"\} [12]/);
  });

  it('is let in by nothing: not at the upgrade with its certificate, not at the hello without, not on a TLS session from before', async () => {
    await central.change({ 'websocket.secure.clientAuth': 'optional' });
    cleanup.add(() => central.change({ 'websocket.secure.clientAuth': 'none' }));
    const { agent, id, client } = await running('shut');
    const [session, bare] = [await tlsSession(cleanup, central, client), await tlsSession(cleanup, central)];
    expect(await upgrade({ ...client, session: await tlsSession(cleanup, central, client) })).toMatchObject({
      status: 101,
      resumed: true,
    });
    await agent.stop();
    await central.cli('agents', 'revoke', 'shut', '--reason', 'privilegeWithdrawn', '--yes');
    const refused = await upgrade(client);
    expect([refused.status, JSON.parse(refused.body)]).toEqual([
      403,
      expect.objectContaining({
        type: 'urn:queuegate:error:certificate_revoked',
        detail: expect.stringContaining('privilegeWithdrawn'),
      }),
    ]);
    const key = rawKey(createPrivateKey(client.key));
    expect(await (await RawAgent.wss(cleanup, central)).refused({ id, key, name: 'shut' })).toEqual({
      code: 'agent_revoked',
      close: 4412,
    });
    // What the ticket of that session carries is what was shown then; and one that showed nothing has a key all the
    // same.
    expect(await upgrade({ ...client, session })).toMatchObject({ status: 403, resumed: true });
    const resumed = await RawAgent.wss(cleanup, central, { session: bare });
    expect(resumed.resumed).toBe(true);
    expect(await resumed.refused({ id, key, name: 'shut' })).toEqual({ code: 'agent_revoked', close: 4412 });
  });

  it('comes back after it was removed, by an enrollment as of a new machine', async () => {
    const { agent, id } = await running('again');
    await central.rest('POST', `/agents/${id}/revoke`, {});
    await agent.stop();
    const enrollment = await central.enrollment();
    const same = await runNode('agent/cli.ts', [
      ...enrollment,
      '--replace-identity',
      ...agentFlags(agent.folders, 'again'),
    ]);
    expect([same.code, same.stderr]).toEqual([
      7,
      expect.stringMatching(/is revoked; its key is refused[^]*queuegate agents recovery-code create/),
    ]);
    expect((await central.cli('agents', 'delete', 'again', '--yes')).code).toBe(0);
    const enrolled = await runNode('agent/cli.ts', [
      ...enrollment,
      '--replace-identity',
      ...agentFlags(agent.folders, 'again'),
    ]);
    expect([enrolled.code, enrolled.stderr]).toEqual([0, '']);
    AgentProcess.start(cleanup, agent.folders, 'again');
    await central.online('again');
  });

  it('needs an administrator, a reason that there is, and an agent that there is', async () => {
    const { id } = await running('spared');
    expect((await central.rest('POST', `/agents/${id}/revoke`, { reason: 'superseded' })).status).toBe(400);
    expect((await central.rest('POST', '/agents/no-such/revoke', {})).body.type).toBe(
      'urn:queuegate:error:agent_unknown',
    );
    const { body } = await central.rest('POST', '/api-tokens', { name: 'operator', role: 'operator' });
    expect(
      (await central.rest('POST', `/agents/${id}/revoke`, {}, { authorization: `Bearer ${body.token}` })).status,
    ).toBe(403);
    expect((await central.agent('spared'))?.['state']).toBe('online');
  });
});

describe.skipIf(lacksPeer('openssl'))('the revocation list', () => {
  it("is on the agents' port and on the administration, has who was revoked and who was removed, and openssl goes by it", async () => {
    const [stolen, gone, good] = [await running('listed'), await running('gone'), await running('good')];
    await central.rest('POST', `/agents/${stolen.id}/revoke`, { reason: 'keyCompromise' });
    await central.rest('DELETE', `/agents/${gone.id}`);
    const get = async (port: number, path: string): Promise<{ type: string | null; bytes: Buffer }> => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`);
      return { type: answer.headers.get('content-type'), bytes: Buffer.from(await answer.arrayBuffer()) };
    };
    const folder = await cleanup.folder();
    const file = async (name: string, content: string | Buffer): Promise<string> => {
      await writeFile(join(folder, name), content);
      return join(folder, name);
    };
    const der = await get(central.ports.http, '/crl.der');
    expect([der.type, der.bytes.equals((await get(central.ports.ws, '/crl.der')).bytes)]).toEqual([
      'application/pkix-crl',
      true,
    ]);
    const overTls = await run('curl', [
      '-s',
      '--cacert',
      await file('root.pem', root),
      `https://localhost:${central.ports.wss}/crl.pem`,
    ]);
    const list = await file('crl.pem', overTls.stdout);
    const shown = await run('openssl', ['crl', '-in', list, '-CAfile', join(folder, 'root.pem'), '-noout', '-text']);
    expect([shown.stderr, shown.stdout]).toEqual([
      expect.stringContaining('verify OK'),
      expect.stringMatching(/Key Compromise[^]*|Cessation Of Operation/),
    ]);
    const verify = async ({ client }: { client: Client }) =>
      (
        await run('openssl', [
          'verify',
          '-CAfile',
          join(folder, 'root.pem'),
          '-CRLfile',
          list,
          '-crl_check',
          await file('agent.pem', client.cert),
        ])
      ).code;
    expect([await verify(good), await verify(stolen), await verify(gone)]).toEqual([0, 2, 2]);
  });
});

describe('an expired certificate', () => {
  it("of a stranger is refused, whatever the grace period: at the client certificate it is a stranger's, and its key belongs to no agent", async () => {
    await central.change({ 'websocket.secure.clientAuth': 'optional', 'agents.certificate.graceDays': 3650 });
    cleanup.add(() => central.change({ 'websocket.secure.clientAuth': 'none', 'agents.certificate.graceDays': 30 }));
    const [stranger, mine] = [newKey(), newKey()];
    const id = await enrollKey(central, mine, 'mine');
    const { createPublicKey } = await import('node:crypto');
    const authority = newKey();
    const order = { lifetimeDays: 1, now: Date.now() - 9 * 86_400_000 };
    const issuer = await makeCertificate({
      ...order,
      profile: 'root',
      subject: `CN=${/CN ?= ?([^,\n]*)/.exec((await central.rest('GET', '/ca')).body.generations[0].subject)?.[1]}, O=Queuegate`,
      publicKey: createPublicKey(authority.privateKey),
      selfKey: authority.privateKey,
      lifetimeDays: 99,
    });
    const certificateOf = async (key: RawKey) =>
      await makeCertificate({
        ...order,
        profile: 'agent',
        subject: 'CN=mine',
        alternativeNames: [{ type: 'url', value: `urn:queuegate:agent:${id}` }],
        publicKey: createPublicKey(key.privateKey),
        issuer: { certificate: issuer, key: authority.privateKey },
      });
    for (const [key, expected] of [
      [stranger, { code: 'agent_key_mismatch', close: 4407 }],
      [mine, { code: 'certificate_foreign', close: 4411 }],
    ] as const) {
      const raw = await RawAgent.wss(cleanup, central, {
        cert: (await certificateOf(key)).toString(),
        key: spki(key),
      });
      expect(await raw.refused({ id, key, name: 'mine' })).toEqual(expected);
    }
    expect(
      await (
        await RawAgent.wss(cleanup, central, {
          cert: (await certificateOf(stranger)).toString(),
          key: spki(stranger),
        })
      ).refused({ id: 'another', key: stranger, name: 'other' }),
    ).toEqual({ code: 'agent_unknown', close: 4401 });
  });
});

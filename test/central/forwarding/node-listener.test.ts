// Who is served at the port for other nodes: nodes of this Central that are alive, and nothing but streams.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { connect } from 'node:tls';
import { expect, it } from 'vitest';
import { NodeCertificate } from '../../../central/forwarding/node-certificate.ts';
import type { Authority } from '../../../central/pki/authority/authority.ts';
import { chainPem, privateKeyPem } from '../../../central/pki/x509/certificate.ts';
import { makeKeyPair } from '../../../central/pki/x509/key-algorithms.ts';
import { CALLER, newAuthority, nodeRecord, twoNodes } from './two-nodes.ts';

const NODE_A = { name: 'a', generation: 1 };

async function credentialsOf(authority: Authority, kind: 'agent' | 'device' | 'server' | 'signing') {
  const { privateKey, publicKey } = await makeKeyPair();
  const order = { publicKey, lifetimeDays: 1 };
  const made =
    kind === 'agent'
      ? await authority.issueAgent({ ...order, id: 'a', name: 'a' })
      : kind === 'signing'
        ? await authority.issueSigning({ ...order, subject: 'CN=central' })
        : // Certificates of ports for devices and of Central itself have names of hosts only.
          await authority.issueServer({ ...order, subject: kind === 'device' ? 'CN=node a' : 'CN=a', names: ['a'] });
  return { key: privateKeyPem(privateKey), cert: chainPem(authority.chainOf(made)) };
}

async function nodeCredentials(authority: Authority, node = NODE_A, now = Date.now) {
  const { credentials } = await NodeCertificate.make({ authority, node, now });
  return { key: credentials.key, cert: credentials.chain };
}

async function ask(address: string, ca: string, options: RequestOptions): Promise<[number | undefined, string]> {
  const request = httpsRequest(new URL('/streams', address), {
    method: 'POST',
    agent: false,
    ca,
    checkServerIdentity: () => undefined,
    ...options,
  });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return [response.statusCode, response.statusCode === 200 ? '' : (JSON.parse(text) as { detail: string }).detail];
}

it('refuses everything that is not a node of this Central: agents, devices, servers, strangers, and what has expired', async () => {
  const { authority, address, refused } = await twoNodes(() => expect.unreachable());
  const stranger = await newAuthority();
  const dayBefore = await newAuthority(() => Date.now() - 3 * 86_400_000);
  const cases: [string, object, RegExp][] = [
    ['nothing', {}, /no certificate was shown/],
    ['an agent', await credentialsOf(authority, 'agent'), /not that of a node/],
    // Its purpose is refused by TLS already: it is not for clients.
    ['a device', await credentialsOf(authority, 'device'), /not accepted/],
    ['a server', await credentialsOf(authority, 'server'), /not accepted/],
    ['the signing key', await credentialsOf(authority, 'signing'), /not accepted/],
    ['a node of another Central', await nodeCredentials(stranger), /not accepted/],
    ['a node of another Central, of long ago', await nodeCredentials(dayBefore), /not accepted/],
  ];
  for (const [name, credentials, found] of cases) {
    const [status, detail] = await ask(address, authority.pem, credentials);
    expect([name, status]).toEqual([name, 403]);
    expect(detail, name).toMatch(found);
  }
  expect(refused).toHaveLength(cases.length);
});

it('refuses a certificate that has expired, whose node is dead, unknown, or another process by now', async () => {
  const { authority, address, nodes } = await twoNodes(() => expect.unreachable());
  const expired = await expiredCredentials(authority);
  expect(await ask(address, authority.pem, expired)).toEqual([403, expect.stringMatching(/CERT_HAS_EXPIRED/)]);
  const own = await nodeCredentials(authority);
  expect((await ask(address, authority.pem, own))[0]).toBe(200);
  for (const state of ['dead', 'stopped'] as const) {
    nodes.set('a', nodeRecord({ name: 'a', state }));
    expect(await ask(address, authority.pem, own)).toEqual([403, expect.stringContaining(`the node a is ${state}`)]);
  }
  nodes.set('a', nodeRecord({ name: 'a', generation: 2 }));
  expect(await ask(address, authority.pem, own)).toEqual([403, expect.stringContaining('earlier process')]);
  nodes.delete('a');
  expect(await ask(address, authority.pem, own)).toEqual([403, expect.stringContaining('unknown')]);
});

/** As it would be after its day: the authority has a clock of its own. */
async function expiredCredentials(authority: Authority) {
  const { privateKey, publicKey } = await makeKeyPair();
  const made = await authority.issueNode({ node: NODE_A, publicKey, lifetimeDays: -1 / 86_400 });
  return { key: privateKeyPem(privateKey), cert: chainPem(authority.chainOf(made)) };
}

it('speaks TLS 1.3 only', async () => {
  const { authority, listener } = await twoNodes(() => undefined);
  const socket = connect({ host: '127.0.0.1', port: listener.port ?? 0, ca: authority.pem, maxVersion: 'TLSv1.2' });
  const [error] = (await once(socket, 'error')) as [Error];
  expect(String(error)).toMatch(/version|alert/i);
});

it('serves nothing but streams, to a node neither', async () => {
  const { authority, address } = await twoNodes(() => expect.unreachable());
  const own = await nodeCredentials(authority);
  expect(await ask(address, authority.pem, { ...own, method: 'GET' })).toEqual([403, expect.stringContaining('GET')]);
  expect((await ask(address, authority.pem, { ...own, path: '/api/v1/agents' }))[0]).toBe(403);
});

it('refuses what another node has forwarded already, and what it cannot read', async () => {
  const { authority, nodes, calls, streamed } = await twoNodes(() => expect.unreachable());
  const { NodeCalls } = await import('../../../central/forwarding/node-calls.ts');
  const node = nodes.get('b') ?? nodeRecord({ name: 'b' });
  // With the certificate of a, in the name of c.
  const certificate = await NodeCertificate.make({ authority, node: NODE_A, now: Date.now });
  const other = new NodeCalls({ self: { name: 'c', generation: 1 }, certificate, authority });
  const order = { agentId: 'a1', caller: CALLER, open: { kind: 'http' } };
  await expect(other.open(node, order)).rejects.toMatchObject({ parameters: { found: 'forwarded_already' } });
  other.stop();
  await expect(calls.open(node, { ...order, caller: { who: 1 } as never })).rejects.toMatchObject({
    parameters: { found: 'order_invalid' },
  });
  expect(streamed).toEqual([]);
});

it('shows and asks for the certificate that the authority signs now, without another start', async () => {
  const { authority, address, calls, nodes } = await twoNodes((stream) => void stream.sendHead({}));
  const material = await authority.makeRoot();
  await authority.replace(material, { who: 'test', from: null } as never);
  const own = await nodeCredentials(authority);
  expect((await ask(address, authority.pem, own))[0]).toBe(200);
  const node = nodes.get('b') ?? nodeRecord({ name: 'b' });
  expect(await calls.open(node, { agentId: 'a1', caller: CALLER, open: {} })).toHaveProperty('reset');
});

// Requests that revoke an agent, and the lists that everybody may read.
import { expect, test } from 'vitest';
import { agentRecord } from '../../fakes.ts';
import { startRest } from '../rest.ts';

test('an administrator revokes, no one else; the answer is the agent with its certificate and the reason', async () => {
  const rest = await startRest();
  const certificate = {
    thumbprint: 'c'.repeat(64),
    serial: '1',
    issuer: 'r',
    keyThumbprint: 'k',
    notBefore: 0,
    notAfter: 0,
    issuedAt: 0,
    installedAt: null,
    revoked: { at: 0, reason: 'keyCompromise' as const },
  };
  rest.agents.push({ ...agentRecord({ name: 'a' }), certificate });
  for (const as of ['viewer', 'operator'] as const)
    expect((await rest.request('POST', '/agents/a/revoke', { as, body: {} })).status).toBe(403);
  const answer = await rest.request('POST', '/agents/a/revoke?comment=stolen&ticket=T', {
    body: { reason: 'keyCompromise' },
  });
  expect([answer.status, await answer.json()]).toEqual([
    200,
    expect.objectContaining({
      id: 'a',
      state: 'revoked',
      renewal: null,
      revocation: { revokedAt: expect.stringMatching(/Z$/), reason: 'keyCompromise' },
      certificate: {
        thumbprint: 'c'.repeat(64),
        serialNumber: '1',
        issuerThumbprint: 'r',
        notBefore: '1970-01-01T00:00:00.000Z',
        notAfter: '1970-01-01T00:00:00.000Z',
        revocation: { revokedAt: '1970-01-01T00:00:00.000Z', reason: 'keyCompromise' },
      },
    }),
  ]);
  expect((await rest.request('POST', '/agents/b/revoke')).status).toBe(404);
  for (const body of [{ reason: 'superseded' }, { reason: 'because' }, { reasons: 'keyCompromise' }])
    expect((await rest.request('POST', '/agents/a/revoke', { body })).status).toBe(400);
  expect((await rest.request('GET', '/agents?state=revoked')).status).toBe(200);
});

test('the lists are for everybody, with the type that verifiers know', async () => {
  const rest = await startRest();
  const der = await fetch(`${rest.url}/crl.der`);
  expect([der.status, der.headers.get('content-type'), await der.text()]).toEqual([
    200,
    'application/pkix-crl',
    'list',
  ]);
  const pem = await fetch(`${rest.url}/crl.pem`);
  expect([pem.status, pem.headers.get('content-type'), await pem.text()]).toEqual([
    200,
    'application/x-pem-file',
    expect.stringContaining('BEGIN X509 CRL'),
  ]);
});

test('a dry run of a revocation or a deletion reports what it would end, and changes nothing', async () => {
  const rest = await startRest();
  const waiting = agentRecord({ name: 'a' });
  rest.agents.push({ ...waiting, state: 'online', outbox: { ...waiting.outbox, messages: 3 } });
  const report = async (method: string, path: string) =>
    (await (await rest.request(method, path)).json()) as Record<string, unknown>;
  expect(await report('POST', '/agents/a/revoke?dryRun=true')).toEqual({
    dryRun: true,
    changed: [{ name: 'state', from: 'online', to: 'revoked' }],
    cutOff: {
      count: 1,
      items: [
        {
          agent: { id: waiting.id, name: 'a' },
          reason: 'agent-revoked',
          detail: expect.any(String),
          address: null,
          hint: null,
        },
      ],
    },
    notices: [],
    needsForce: false,
    change: null,
    result: null,
  });
  expect(await report('DELETE', '/agents/a?dryRun=true')).toMatchObject({
    changed: [{ name: 'state', from: 'online', to: 'deleted' }],
    notices: [{ code: 'commands_deleted', detail: expect.stringContaining('3 commands') }],
  });
  expect(rest.revoked).toEqual([]);
  expect(rest.agents).toHaveLength(1);
});

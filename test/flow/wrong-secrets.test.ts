// Wrong tokens from outside, against a real Central: slowed down, bounded, recorded, and of no concern to the owner of
// the right one.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MAX_DELAYED_OF_BLOCK } from '../../central/auth/wrong-attempts.ts';
import { CentralProcess, Cleanup, until } from './processes.ts';
import { enrollKey, newKey, RawAgent } from './raw-agent.ts';

const cleanup = new Cleanup();
let central: CentralProcess;
beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
});
afterAll(() => cleanup.run());

const wrongToken = (prefix: string): string =>
  `${prefix}_${randomBytes(8).toString('hex')}_${randomBytes(32).toString('base64url')}`;

async function recorded(code: string): Promise<{ address: string; detail: { attempts: number } }[]> {
  return await until(async () => {
    const { body } = await central.rest('GET', '/incidents?limit=1000');
    const found = (body.items as { code: string; address: string; detail: { attempts: number } }[]).filter(
      (incident) => incident.code === code,
    );
    return found.length > 0 ? found : undefined;
  });
}

it('wrong API tokens wait, 429 beyond the bound, one incident with a count; the right token is served meanwhile', async () => {
  const guess = async (): Promise<Response> =>
    await fetch(`http://127.0.0.1:${central.ports.http}/api/v1/status`, {
      headers: { authorization: `Bearer ${wrongToken('qg')}` },
    });
  for (let i = 0; i < 8; i += 1) await guess();
  let answered = 0;
  const guesses = Array.from({ length: 200 }, async () => {
    const answer = await guess();
    answered += 1;
    return answer;
  });
  await until(() => (answered >= guesses.length - MAX_DELAYED_OF_BLOCK ? true : undefined));
  // Some wait still; the owner does not.
  for (let i = 0; i < 20; i += 1) expect((await central.rest('GET', '/status')).status).toBe(200);
  const answers = await Promise.all(guesses);
  const refused = answers.filter(({ status }) => status === 429);
  expect(refused.length).toBeGreaterThan(100);
  expect(refused.every(({ headers }) => headers.get('retry-after') === '5')).toBe(true);
  expect(await refused[0]?.json()).toMatchObject({ type: 'urn:queuegate:error:too_many_attempts' });
  expect(answers.filter(({ status }) => status !== 429).every(({ status }) => status === 401)).toBe(true);
  const incidents = await recorded('wrong_api_tokens');
  expect(incidents.length).toBeLessThanOrEqual(2);
  expect(incidents[0]).toMatchObject({ address: '127.0.0.1', detail: { attempts: expect.any(Number) } });
  expect(
    (
      await (
        await fetch(`http://127.0.0.1:${central.ports.http}/metrics`, {
          headers: { authorization: `Bearer ${central.token}` },
        })
      ).text()
    ).match(/queuegate_wrong_secrets_total\{secret="api-token"\} 208/),
  ).not.toBeNull();
  expect((await central.process.stop()).stdout.match(/wrong_api_tokens/g)?.length).toBeLessThanOrEqual(2);
  central = await CentralProcess.start(cleanup, await cleanup.folder());
});

it('wrong enrollment tokens and proofs are slowed down and recorded; a machine with the right one enrolls at once', async () => {
  const { body } = await central.rest('POST', '/enrollment-tokens', { maxUses: 9 });
  const guess = async (): Promise<number> =>
    (
      await fetch(`http://127.0.0.1:${central.ports.ws}/enroll`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ csr: await goodCsr(), name: 'x', tokenId: body.id, proof: '0'.repeat(64) }),
      })
    ).status;
  const guesses = Promise.all(Array.from({ length: 100 }, guess));
  expect(await enrollKey(central, newKey(), 'branch-1')).toHaveLength(64);
  const statuses = await guesses;
  expect(statuses.filter((status) => status === 429).length).toBeGreaterThan(50);
  expect(new Set(statuses)).toEqual(new Set([401, 429]));
  expect((await recorded('wrong_enrollment_tokens'))[0]).toMatchObject({ address: '127.0.0.1' });
});

it('what was refused is in the audit log: wrong tokens, roles, recovery codes and keys, none of them with its secret', async () => {
  const { token } = (await central.rest('POST', '/api-tokens', { name: 'monitoring', role: 'viewer' })).body;
  await fetch(`http://127.0.0.1:${central.ports.http}/api/v1/agents/x`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${String(token)}` },
  });
  const wrong = wrongToken('qg');
  await fetch(`http://127.0.0.1:${central.ports.http}/api/v1/status`, {
    headers: { authorization: `Bearer ${wrong}` },
  });
  await fetch(`http://127.0.0.1:${central.ports.ws}/enroll`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ csr: await goodCsr(), name: 'branch-1', pin: null, proof: '0'.repeat(64) }),
  });
  const stranger = await RawAgent.ws(cleanup, central);
  await stranger.refused({ id: 'branch-1', key: newKey(), name: 'branch-1' });
  const found = await until(async () => {
    const { body } = await central.rest('GET', '/audit?action=*.refuse&action=*.forbid');
    const entries = body.items as { action: string; actor: string; address: string; detail: { count: number } }[];
    return new Set(entries.map(({ action }) => action)).size === 5 ? entries : undefined;
  }, 30_000);
  expect(found.every(({ address, detail }) => address === '127.0.0.1' && detail.count > 0)).toBe(true);
  expect(found.filter(({ actor }) => actor === 'monitoring').map(({ action }) => action)).toEqual([
    'api-tokens.forbid',
  ]);
  const text = JSON.stringify(found);
  for (const secret of [wrong, String(token)]) expect(text).not.toContain(secret.slice(-43));
});

/** One that can be read: only then its proof is looked at. */
async function goodCsr(): Promise<string> {
  const { makeRequest } = await import('../../agent/enrollment/csr.ts');
  const key = newKey();
  return (
    await makeRequest({ privateKey: key.privateKey, pem: '', publicKey: key.spki, thumbprint: key.thumbprint }, 'x')
  ).pem;
}

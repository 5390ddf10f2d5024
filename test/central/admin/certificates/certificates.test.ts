// Requests about certificates and the authority: who may, what a body may hold, and what an answer never does.
import { expect, test } from 'vitest';
import type { AdminServices } from '../../../../central/admin/services.ts';
import { openAuthority } from '../../../../central/pki/authority/authority.ts';
import { openServerIdentity } from '../../../../central/pki/server/server-identity.ts';
import type { Change } from '../../../../central/change/changes.ts';
import type { SwapReport } from '../../../../central/pki/server/server-certificates.ts';
import type { MemoryStore } from '../../fakes.ts';
import { startRest } from '../rest.ts';

const READING = ['/ca', '/server-certificate', '/certificates'];
const WRITING = [
  '/ca/export',
  '/ca/import',
  '/server-certificate/request',
  '/server-certificate/install',
  '/server-certificate/import',
  '/server-certificate/issue',
  '/server-certificate/activate',
];

/** Real credentials with their private key behind the routes, which only pass on what they are asked to. */
async function start() {
  const asked: unknown[] = [];
  const rest = await startRest(async (store: MemoryStore): Promise<Partial<AdminServices>> => {
    const authority = await openAuthority({ keyMaterial: store.keyMaterial, central: 'central.test', now: Date.now });
    const identity = await openServerIdentity({ keyMaterial: store.keyMaterial, authority, now: Date.now });
    const certificate = await identity.make({
      names: ['central.test'],
      subjectAlternativeNames: [],
      distinguishedName: '',
      lifetimeDays: 30,
    });
    const swap = async (...all: unknown[]): Promise<SwapReport> => {
      asked.push(all);
      return { dryRun: false, staged: false, before: 'b', certificate, cutOff: [], notices: [], change: null };
    };
    const change: Change = {
      id: '0123456789abcdef',
      subject: 'server-certificate',
      state: 'pending',
      owner: { who: 'ann', from: '10.0.0.1', node: 'n1' },
      expiresAt: 0,
      requiredShare: 1,
      agentCount: 0,
      returnedCount: 0,
      listener: 'https',
      changed: [],
      comment: null,
      ticket: null,
    };
    const one = async (): Promise<Change> => change;
    return {
      changes: { confirm: one, get: one, list: async () => [change], pendingChange: one, rollBack: one },
      authorityService: {
        generations: () => authority.generations(),
        export: async () => ({ generation: authority.current(), file: Buffer.from('sealed') }),
        import: async () => ({ dryRun: false, before: 'b', generation: authority.current(), cutOff: [], notices: [] }),
      },
      serverCertificates: {
        slots: () => ({
          current: certificate,
          previous: certificate,
          staged: certificate,
          request: { csr: 'csr', key: authority.current().key, madeAt: 0 },
          pending: undefined,
        }),
        request: async () => 'csr',
        install: swap,
        import: swap,
        generate: swap,
        activate: swap,
        restore: swap,
        discardRequest: async () => undefined,
        discard: async () => undefined,
      },
      expiry: { list: async () => ({ certificates: [WATCHED], next: WATCHED }) },
    };
  });
  return { rest, asked };
}

const WATCHED = {
  kind: 'server',
  slot: 'current',
  subject: 'CN=central',
  thumbprint: 'a'.repeat(64),
  notBefore: 1,
  notAfter: 5,
  daysLeft: 0,
  usedFor: 'HTTPS',
  agent: null,
} as const;

test('reading needs a viewer, everything else an administrator', async () => {
  const { rest } = await start();
  for (const path of READING) {
    expect((await rest.request('GET', path, { as: 'viewer' })).status, path).toBe(200);
    expect((await rest.request('GET', path, { as: null })).status, path).toBe(401);
  }
  for (const path of WRITING)
    expect((await rest.request('POST', path, { as: 'operator', body: {} })).status, path).toBe(403);
  expect((await rest.request('DELETE', '/server-certificate/staged', { as: 'operator' })).status).toBe(403);
  expect((await rest.request('DELETE', '/server-certificate/staged')).status).toBe(204);
});

test('no answer carries a private key, though it is beside what is answered', async () => {
  const { rest } = await start();
  const bodies: Readonly<Record<string, unknown>> = {
    '/ca/export': { password: 'x' },
    '/ca/import': { content: 'AAAA' },
    '/server-certificate/install': { content: 'AAAA' },
    '/server-certificate/import': { content: 'AAAA' },
    '/server-certificate/activate': { slot: 'previous' },
  };
  const answers = [...READING.map((path) => ['GET', path] as const), ...WRITING.map((path) => ['POST', path] as const)];
  for (const [method, path] of answers) {
    const answer = await rest.request(method, path, method === 'GET' ? {} : { body: bodies[path] ?? {} });
    const text = await answer.text();
    expect([path, answer.status], text).toEqual([path, path === '/server-certificate/request' ? 201 : 200]);
    expect(text, path).not.toContain('PRIVATE KEY');
  }
  expect((await rest.request('POST', '/ca/export', { body: { password: 'x' } })).headers.get('cache-control')).toBe(
    'no-store',
  );
});

test('files come as PEM or base64; anything else, and unknown members, are refused before they are looked at', async () => {
  const { rest, asked } = await start();
  await rest.request('POST', '/server-certificate/import?confirmWithinSeconds=60&stage=true&ticket=T', {
    body: {
      content: '-----BEGIN CERTIFICATE-----\nx',
      keyFile: 'AAEC',
      password: 'p',
    },
  });
  expect(asked).toMatchObject([
    [
      {
        name: 'the file',
        password: 'p',
        bytes: Buffer.from('-----BEGIN CERTIFICATE-----\nx'),
        keyBytes: Buffer.from([0, 1, 2]),
      },
      { stage: true, ticket: 'T', confirm: { withinSeconds: 60, share: 0.9 } },
      { who: 'administrator' },
    ],
  ]);
  for (const body of [
    { content: 'no base64!' },
    { content: '' },
    {},
    { content: 'AAAA', force: true },
    { content: 'AAAA', privateKey: 'x' },
  ]) {
    const answer = await rest.request('POST', '/server-certificate/import', { body });
    expect([answer.status, ((await answer.json()) as { type: string }).type], JSON.stringify(body)).toEqual([
      400,
      'urn:queuegate:error:request_invalid',
    ]);
  }
  for (const terms of ['force=yes', 'confirmWithinSeconds=1', 'confirmShare=0.5', 'confirm=60', 'dryRun'])
    expect(
      (await rest.request('POST', `/server-certificate/import?${terms}`, { body: { content: 'AAAA' } })).status,
    ).toBe(400);
  expect(asked).toHaveLength(1);
});

test('a page of the list says where the next one begins, and takes that again', async () => {
  const { rest } = await start();
  const { next } = (await (await rest.request('GET', '/certificates')).json()) as { next: string };
  expect((await rest.request('GET', `/certificates?after=${next}&limit=7`)).status).toBe(200);
  // A cursor belongs to its filter.
  expect((await rest.request('GET', `/certificates?after=${next}&kind=agent&expiresWithinDays=60`)).status).toBe(400);
  expect((await rest.request('GET', '/certificates?after=5')).status).toBe(400);
  expect((await rest.request('GET', '/certificates?kind=other')).status).toBe(400);
});

// The rules around machines that ask without a token, over a real store and with a clock of the test's own; how it
// looks from outside is test/flow/enrollment-approve.test.ts.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeRequest } from '../../../agent/enrollment/csr.ts';
import { addressBlock } from '../../../central/auth/address-rules.ts';
import { siteOf } from '../../../central/auth/wrong-attempts.ts';
import {
  createApprovals,
  MAX_PENDING,
  MAX_PENDING_OF_BLOCK,
  type Approvals,
} from '../../../central/enrollment/approvals.ts';
import { readRequest } from '../../../central/pki/x509/csr.ts';
import type { Actor } from '../../../central/audit.ts';
import type { AgentCredentials } from '../../../central/enrollment/credentials.ts';
import { openSqliteStore } from '../../../central/store/sqlite/sqlite-store.ts';
import type { Store } from '../../../central/store/store.ts';
import { loadOrCreateKey } from '../../../agent/identity/identity.ts';
import { Cleanup } from '../../flow/processes.ts';

const DAY = 86_400_000;
const ADMIN = { who: 'admin', from: '10.0.0.1' };
const cleanup = new Cleanup();
let store: Store;
let approvals: Approvals;
let now: number;
let issued: number;
let issuedFor: Actor[];
let pending: number;

beforeEach(async () => {
  [now, issued, pending, issuedFor] = [1_790_000_000_000, 0, -1, []];
  store = await openSqliteStore({ folder: await cleanup.folder(), deduplicationMs: DAY, onFailure: () => undefined });
  const answer = (id: string, name: string, certificate: string) => ({
    id,
    name,
    centralName: 'c',
    signingKey: 's',
    certificate,
    truststore: 't',
  });
  // Making certificates is central/enrollment/credentials.ts's own.
  const credentials: AgentCredentials = {
    async issue({ id, name }, _key, actor) {
      issued += 1;
      issuedFor.push(actor);
      return { certificate: { serialNumber: '1' } as never, answer: answer(id, name, `certificate ${issued}`) };
    },
    repeat: async ({ id, name }, certificate) => answer(id, name, certificate),
  };
  approvals = createApprovals({
    agents: store.agents,
    enrollments: store.enrollments,
    credentials,
    onReplaced: () => undefined,
    blockOf: addressBlock,
    siteOf,
    onCounted: ({ pending: count }) => (pending = count),
    now: () => now,
  });
});
afterEach(async () => {
  await store.stop();
  await cleanup.run();
});

interface Machine {
  readonly name: string;
  readonly key: string;
  submit(): ReturnType<Approvals['submit']>;
}

async function machine(name: string, address = '10.0.0.7'): Promise<Machine> {
  const key = await loadOrCreateKey(await cleanup.folder());
  const { pem: csr } = await makeRequest(key, name);
  const read = readRequest(csr);
  return {
    name,
    key: key.thumbprint,
    submit: () => approvals.submit({ csr, name }, read, { over: 'wss', address, direct: true }),
  };
}

describe('requests without a token', () => {
  it('wait, are accepted once, and get the same certificate however often they ask', async () => {
    const one = await machine('branch-1');
    expect(await one.submit()).toEqual({ state: 'pending', keyThumbprint: one.key, retryAfterSeconds: 5 });
    expect(pending).toBe(1);
    await approvals.accept(one.key.slice(0, 8), { ...ADMIN, comment: 'why' });
    expect(pending).toBe(0);
    expect(await one.submit()).toMatchObject({ id: one.key, name: 'branch-1', certificate: 'certificate 1' });
    expect(await one.submit()).toMatchObject({ certificate: 'certificate 1' });
    expect(issued).toBe(1);
    expect(await store.audit.list({ limit: 2 })).toMatchObject([
      { action: 'enrollment-requests.accept', who: 'admin', comment: 'why' },
    ]);
    expect(issuedFor).toEqual([{ who: 'accepted by admin', from: '10.0.0.7' }]);
  });

  it('cost no write for the same request again within a moment', async () => {
    const [one, two] = [await machine('a'), await machine('b')];
    for (const each of [one, two]) await each.submit();
    await approvals.reject(two.key, ADMIN);
    const { commits } = await store.stats();
    for (let i = 0; i < 100; i += 1) {
      await one.submit();
      await expect(two.submit()).rejects.toMatchObject({ code: 'enrollment_rejected' });
    }
    expect((await store.stats()).commits).toBe(commits);
    now += 30_000;
    await one.submit();
    expect(await approvals.list({ state: 'pending', limit: 9 })).toMatchObject([{ lastRequestedAt: now }]);
  });

  it('are forgotten a day after they asked last, and a day after they were rejected; an accepted one has a week', async () => {
    const [one, two, three] = [await machine('a'), await machine('b'), await machine('c')];
    for (const each of [one, two, three]) await each.submit();
    await approvals.reject(two.key, { ...ADMIN, comment: 'no' });
    await approvals.accept(three.key, ADMIN);
    now += DAY / 2;
    await one.submit();
    await expect(two.submit()).rejects.toMatchObject({ code: 'enrollment_rejected', status: 403 });
    now += DAY / 2 + 1;
    expect(await two.submit()).toMatchObject({ state: 'pending' });
    expect(await approvals.list({ state: 'pending', limit: 9 })).toHaveLength(2);
    now += DAY / 2;
    expect(await approvals.list({ state: 'pending', limit: 9 })).toMatchObject([{ keyThumbprint: two.key }]);
    now += 5 * DAY;
    expect(await three.submit()).toMatchObject({ id: three.key });
    now += DAY;
    expect(await three.submit()).toMatchObject({ state: 'pending' });
  });

  const bounds = {
    most: MAX_PENDING,
    mostOfBlock: MAX_PENDING_OF_BLOCK,
    silentBefore: 0,
    pendingBefore: 0,
    rejectedBefore: 0,
    acceptedBefore: 0,
  };
  const fill = (from: number, count: number, address: string) =>
    Promise.allSettled(
      Array.from({ length: count }, (_, i) =>
        store.enrollments.submit(
          {
            keyThumbprint: `key ${from + i}`,
            name: 'n',
            id: null,
            csr: 'c',
            address,
            block: addressBlock(address),
            site: siteOf(addressBlock(address)),
            transport: 'wss',
          },
          bounds,
          now,
        ),
      ),
    );

  it('are a thousand at most, and fifty of one address', async () => {
    await fill(0, MAX_PENDING_OF_BLOCK, '10.0.0.7');
    await expect((await machine('a')).submit()).rejects.toMatchObject({ code: 'enrollments_full_of_address' });
    const other = await machine('b', '10.0.0.8');
    await other.submit();
    await Promise.all(
      Array.from({ length: MAX_PENDING - MAX_PENDING_OF_BLOCK - 1 }, (_, i) =>
        fill(MAX_PENDING_OF_BLOCK + i, 1, `10.1.${i >> 8}.${i & 255}`),
      ),
    );
    await fill(5_000, MAX_PENDING_OF_BLOCK, '10.0.0.9');
    expect(await other.submit()).toMatchObject({ state: 'pending' });
    await approvals.measure();
    expect(pending).toBe(MAX_PENDING);
    expect(await approvals.counts()).toMatchObject({ pending: MAX_PENDING, most: MAX_PENDING });
  });

  it('from twenty addresses that filled all places do not keep a machine of another address out', async () => {
    for (let i = 0; i < 20; i += 1) await fill(i * MAX_PENDING_OF_BLOCK, MAX_PENDING_OF_BLOCK, `10.0.1.${i}`);
    expect((await store.enrollments.countByState()).pending).toBe(MAX_PENDING);
    const honest = await machine('branch-1', '10.0.0.7');
    expect(await honest.submit()).toMatchObject({ state: 'pending' });
    // As fast as the strangers come again, it stays.
    for (let i = 0; i < 20; i += 1) await fill(2_000 + i * 10, 10, `10.0.1.${i}`);
    await approvals.accept(honest.key, ADMIN);
    expect(await honest.submit()).toMatchObject({ name: 'branch-1' });
  });

  it('from a thousand addresses of one site do not keep a machine from elsewhere out', async () => {
    await Promise.all(Array.from({ length: MAX_PENDING }, (_, i) => fill(i, 1, `2001:db8:${i.toString(16)}::1`)));
    expect((await store.enrollments.countByState()).pending).toBe(MAX_PENDING);
    expect(await (await machine('a', '192.0.2.7')).submit()).toMatchObject({ state: 'pending' });
    await expect((await machine('b', '2001:db8:ffff::1')).submit()).rejects.toMatchObject({ code: 'enrollments_full' });
  });

  it('from one IPv6 /64 share the bound of one address', async () => {
    await Promise.all(
      Array.from({ length: MAX_PENDING_OF_BLOCK }, (_, i) => fill(i, 1, `2001:db8:0:1::${(i + 1).toString(16)}`)),
    );
    await expect((await machine('a', '2001:db8:0:1:ffff::1')).submit()).rejects.toMatchObject({
      code: 'enrollments_full_of_address',
      message: expect.stringContaining('2001:db8:0:1::/64'),
    });
    expect(await (await machine('b', '2001:db8:0:2::1')).submit()).toMatchObject({ state: 'pending' });
    expect((await approvals.counts()).blocks).toEqual([
      { block: '2001:db8:0:1::/64', pending: MAX_PENDING_OF_BLOCK },
      { block: '2001:db8:0:2::/64', pending: 1 },
    ]);
  });

  it('are meant by a beginning of the thumbprint only where one alone begins so', async () => {
    const bounds = { most: 9, mostOfBlock: 9, silentBefore: 0, pendingBefore: 0, rejectedBefore: 0, acceptedBefore: 0 };
    for (const end of ['1', '2'])
      await store.enrollments.submit(
        {
          keyThumbprint: `0123456789${end}`,
          name: 'n',
          id: null,
          csr: 'c',
          address: 'a',
          block: 'a',
          site: 'a',
          transport: 'wss',
        },
        bounds,
        now,
      );
    await expect(approvals.accept('01234567', ADMIN)).rejects.toMatchObject({
      code: 'enrollment_request_ambiguous',
    });
    for (const bad of ['0123456', 'g'.repeat(8), '', '%', 'a'.repeat(65)])
      await expect(approvals.reject(bad, ADMIN)).rejects.toMatchObject({ code: 'enrollment_thumbprint_bad' });
    await expect(approvals.reject('99999999', ADMIN)).rejects.toMatchObject({ code: 'enrollment_request_unknown' });
    expect(await approvals.reject('sha256:01:23:45:67:89:1', ADMIN)).toMatchObject({
      keyThumbprint: '01234567891',
    });
  });
});

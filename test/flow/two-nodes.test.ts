// Two Centrals on one PostgreSQL, as processes: what an administrator does at one takes effect at the other.
import { randomBytes } from 'node:crypto';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { lacksPostgres } from '../postgres/binaries.ts';
import { freshDatabase, type TestDatabase } from '../postgres/cluster.ts';
import { CentralProcess, Cleanup, until } from './processes.ts';
import { enrollKey, newKey, RawAgent, type RawKey } from './raw-agent.ts';

const cleanup = new Cleanup();
const lasting = new Cleanup();
const sealing = randomBytes(32).toString('base64');

describe.skipIf(lacksPostgres())('two nodes', () => {
  let database: TestDatabase;
  let [one, two]: CentralProcess[] = [];
  beforeAll(async () => {
    database = await freshDatabase();
    one = await start('node-1');
    two = await start('node-2', one);
  }, 60_000);
  afterEach(() => cleanup.run());
  afterAll(async () => {
    await lasting.run();
    await database.drop();
  });

  /** A node; `first`: the one that has made the first token. */
  async function start(name: string, first?: CentralProcess): Promise<CentralProcess> {
    const folder = await lasting.folder();
    if (first !== undefined)
      await copyFile(join(first.folder, 'administrator-token'), join(folder, 'administrator-token'));
    return await CentralProcess.start(lasting, folder, ['--central-name', 'bank', '--node-name', name], {
      QUEUEGATE_STORE_URL: database.url,
      QUEUEGATE_KEY_ENCRYPTION_KEY: sealing,
    });
  }

  function nodes(): [CentralProcess, CentralProcess] {
    if (one === undefined || two === undefined) throw new Error('the nodes do not run');
    return [one, two];
  }

  /** An agent whose session is at `node`. */
  async function agentAt(node: CentralProcess, name: string): Promise<{ id: string; key: RawKey; agent: RawAgent }> {
    const key = newKey();
    const id = await enrollKey(node, key, name);
    return { id, key, agent: await connect(node, { id, key, name }) };
  }

  async function connect(node: CentralProcess, order: { id: string; key: RawKey; name: string }): Promise<RawAgent> {
    const agent = await RawAgent.wss(cleanup, node);
    await agent.welcomed(order);
    return agent;
  }

  const refusedWith = async (agent: RawAgent): Promise<unknown> => (await agent.frame('refuse'))['code'];

  it('end sessions at each other: revoked, disabled, deleted, connected elsewhere, within a second', async () => {
    const [a, b] = nodes();
    const [revoked, disabled, deleted, moved] = await Promise.all(
      ['revoked', 'disabled', 'deleted', 'moved'].map((name) => agentAt(b, name)),
    );
    const at = Date.now();
    expect((await a.rest('POST', `/agents/${revoked?.id}/revoke`, { reason: 'keyCompromise' })).status).toBe(200);
    expect((await a.rest('POST', `/agents/${disabled?.id}/disable`, {})).status).toBe(200);
    expect((await a.rest('DELETE', `/agents/${deleted?.id}`)).status).toBe(204);
    if (moved === undefined) throw new Error('no agent');
    await connect(a, { ...moved, name: 'moved' });
    const found = await Promise.all(
      [revoked, disabled, deleted, moved].map((one) => refusedWith(one?.agent as RawAgent)),
    );
    expect(found).toEqual(['agent_revoked', 'agent_disabled', 'agent_deleted', 'superseded']);
    // Four acts one after the other, and the last one a second before at most.
    expect(Date.now() - at).toBeLessThan(3_000);
  });

  it('send commands that were accepted at the other one', async () => {
    const [a, b] = nodes();
    const { id, agent } = await agentAt(b, 'commanded');
    const command = { type: 'bank.test.v1', data: { n: 1 } };
    const answer = await a.rest('POST', `/agents/${id}/commands`, command);
    expect(answer.status).toBe(202);
    const { frames } = agent;
    await until(() => frames.some((frame) => JSON.stringify(frame).includes('bank.test.v1')) || undefined);
  });

  it('apply parameters and maintenance mode that were set at the other one', async () => {
    const [a, b] = nodes();
    const { agent } = await agentAt(b, 'maintained');
    expect((await a.rest('PATCH', '/parameters', { 'agents.heartbeatSeconds': 17 })).status).toBe(200);
    const known = async (): Promise<unknown> =>
      JSON.stringify((await b.rest('GET', '/parameters/agents.heartbeatSeconds')).body).includes('17') || undefined;
    await until(known, 2_000);
    expect((await a.rest('PATCH', '/maintenance', { enabled: true })).status).toBe(200);
    expect(await refusedWith(agent)).toBe('maintenance');
    expect((await a.rest('PATCH', '/maintenance', { enabled: false })).status).toBe(200);
    await until(async () => !((await b.rest('GET', '/maintenance')).body as { enabled: boolean }).enabled || undefined);
  });

  it('drain one through the other: its sessions end, it refuses new ones, and admits them again', async () => {
    const [a, b] = nodes();
    expect((await a.rest('PATCH', '/parameters', { 'agents.drain.spreadSeconds': 1 })).status).toBe(200);
    const { id, key, agent } = await agentAt(b, 'drained');
    expect((await a.rest('POST', '/nodes/node-2/drain', {})).body).toMatchObject({ drainedAt: expect.any(String) });
    expect((await a.rest('POST', '/nodes/node-1/drain', {})).body).toMatchObject({ code: 'node_alone' });
    expect(await refusedWith(agent)).toBe('going_away');
    // Before the challenge, as where no agent is admitted.
    await expect(RawAgent.wss(cleanup, b)).rejects.toThrow('"code":"going_away"');
    expect((await b.rest('GET', '/status')).body).toMatchObject({
      nodes: { aliveCount: 2, leader: expect.stringMatching(/^node-[12]$/) },
      problems: expect.arrayContaining([expect.objectContaining({ code: 'node_drained' })]),
    });
    await connect(a, { id, key, name: 'drained' });
    await a.rest('POST', '/nodes/node-2/drain', { cancel: true });
    const isReady = async (): Promise<true | undefined> =>
      ((await b.rest('GET', '/status')).body as { problems: { code: string }[] }).problems.every(
        ({ code }) => code !== 'node_drained',
      ) || undefined;
    await until(isReady, 3_000);
    await connect(b, { id, key, name: 'drained' });
  });

  it('slow down wrong secrets together', async () => {
    const wrong = async (node: CentralProcess): Promise<number> => {
      const at = Date.now();
      const headers = { authorization: `Bearer ${randomBytes(32).toString('base64url')}` };
      const answer = await fetch(`http://127.0.0.1:${node.ports.http}/api/v1/agents`, { headers });
      expect([401, 429]).toContain(answer.status);
      return Date.now() - at;
    };
    const [a, b] = nodes();
    for (let n = 0; n < 6; n += 1) await wrong(a);
    // By itself it would answer the first three at once.
    await until(async () => (await wrong(b)) >= 1_000, 10_000);
    expect((await b.rest('GET', '/agents')).status).toBe(200);
  });

  it('drain agents of both, as one drain that both show', async () => {
    const [a, b] = nodes();
    const here = await agentAt(a, 'drained-1');
    const there = await Promise.all(['drained-2', 'drained-3'].map((name) => agentAt(b, name)));
    const order = { agents: ['drained-1', 'drained-2', 'drained-3'], withinSeconds: 0, retryAfterSeconds: 3 };
    const { status, body } = await a.rest('POST', '/drains', order);
    expect([status, body]).toEqual([202, expect.objectContaining({ agentCount: 3, offlineCount: 0 })]);
    const asked = await Promise.all([here, ...there].map(async ({ agent }) => await agent.frame('drain')));
    expect(asked).toMatchObject(asked.map(() => ({ retryAfterSeconds: 3 })));
    const drainAt = async (node: CentralProcess, id: unknown): Promise<Record<string, unknown>> =>
      (await node.rest('GET', `/drains/${String(id)}`)).body as Record<string, unknown>;
    const isDrained = async (node: CentralProcess): Promise<boolean> => {
      const { state, awayCount } = await drainAt(node, body.id);
      return state === 'drained' && awayCount === 3;
    };
    await until(async () => (await isDrained(a)) && (await isDrained(b)), 5_000);
    // Each at the other one.
    await connect(b, { ...here, name: 'drained-1' });
    for (const [index, one] of there.entries()) await connect(a, { ...one, name: `drained-${2 + index}` });
    const isBack = async (node: CentralProcess): Promise<boolean> =>
      (await drainAt(node, body.id))['reconnectedCount'] === 3;
    await until(async () => (await isBack(a)) && (await isBack(b)), 5_000);

    const slow = await a.rest('POST', '/drains', { agents: ['drained-2', 'drained-3'], withinSeconds: 600 });
    await until(async () => (await drainAt(b, slow.body.id))['state'] === 'draining', 5_000);
    const canceled = await b.rest('POST', `/drains/${slow.body.id}/cancel`, {});
    expect([canceled.status, canceled.body]).toEqual([200, expect.objectContaining({ state: 'canceled' })]);
    expect(await drainAt(a, slow.body.id)).toMatchObject({ state: 'canceled', waitingCount: 1 });
    expect((await b.rest('GET', '/drains?limit=1')).body.items).toMatchObject([{ id: slow.body.id }]);
  });

  it('share the authority and the server certificate', async () => {
    const [a, b] = nodes();
    const shown = async (node: CentralProcess): Promise<unknown[]> => [
      (await node.rest('GET', '/ca/trust-bundle.pem')).body,
      ((await node.rest('GET', '/status')).body as { certificate: unknown }).certificate,
    ];
    expect(await shown(b)).toEqual(await shown(a));
    const before = await shown(a);
    expect((await a.rest('POST', '/server-certificate/issue', {})).status).toBe(200);
    await until(async () => {
      const [here, there] = [await shown(a), await shown(b)];
      return (
        (JSON.stringify(here) !== JSON.stringify(before) && JSON.stringify(here) === JSON.stringify(there)) || undefined
      );
    }, 3_000);
  });

  it('ask agents of both to reconnect over a server certificate that waits for its confirmation', async () => {
    const [a, b] = nodes();
    const { id, key, agent } = await agentAt(b, 'certified');
    const query = 'confirmWithinSeconds=60';
    const issued = await a.rest('POST', `/server-certificate/issue?${query}`, {});
    expect(issued.status, JSON.stringify(issued.body)).toBeLessThan(300);
    expect(await refusedWith(agent)).toBe('going_away');
    await connect(b, { id, key, name: 'certified' });
  });
});

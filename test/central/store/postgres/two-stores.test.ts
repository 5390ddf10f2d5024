// Two Centrals on one database of PostgreSQL: what one writes the other sees, what only one may do only one does, and
// a process that was followed by another writes nothing any more.
import { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CHAIN_START } from '../../../../central/store/audit-store.ts';
import { CLONE_TURNS } from '../../../../central/store/agents/boot-history.ts';
import { openPostgresStore } from '../../../../central/store/postgres/postgres-store.ts';
import type { Store } from '../../../../central/store/store.ts';
import { freshDatabase, type TestDatabase } from '../../../postgres/cluster.ts';
import { framesOf } from '../../../shared/delivery/frames.ts';
import {
  ACT,
  allEventIds,
  auditEntry,
  claimOf,
  enrollmentToken,
  items,
  message,
  NOW,
  online,
  registered,
  ROOM,
} from '../samples.ts';
import { openAt } from './engine.ts';

let database: TestDatabase;
let [one, two]: Store[] = [];
let alive: NodeJS.Timeout | undefined;
beforeAll(async () => {
  database = await freshDatabase();
  [one, two] = await Promise.all([openAt(database.url, 'node-1'), openAt(database.url, 'node-2')]);
  // As Central does: a node that is silent is given up.
  alive = setInterval(() => stores().forEach((store) => void store.audit.append(ACT).catch(() => undefined)), 1_000);
});
afterAll(async () => {
  clearInterval(alive);
  await one?.stop();
  await two?.stop();
  await database.drop();
});

/** Both are open, each test with agents of its own. */
function stores(): [Store, Store] {
  if (one === undefined || two === undefined) throw new Error('the stores are not open');
  return [one, two];
}
let agent = '';
let agents = 0;
beforeEach(() => (agent = `agent-${++agents}`));

const outcomes = (results: readonly PromiseSettledResult<unknown>[]): string[] =>
  results.map((result) =>
    result.status === 'fulfilled' ? 'done' : String((result.reason as { readonly code?: unknown }).code),
  );

describe('two stores on one database', () => {
  it('find two copies of a key that alternate between them, and no daemon that restarts', async () => {
    const [a, b] = stores();
    await registered(a, agent);
    let at = NOW;
    /** Its boot, as a node sees and then claims it. */
    const login = async (store: Store, bootId: string): Promise<boolean> => {
      at += 1_000;
      const isClone = (await store.nodes?.sawBoot(agent, bootId, at)) ?? false;
      if (!isClone) await store.agents.claimSession(claimOf(agent, { bootId, now: at }));
      return isClone;
    };
    const alternating = async (count: number): Promise<boolean[]> => {
      const found: boolean[] = [];
      for (let n = 0; n < count; n += 1) found.push(await login(n % 2 === 0 ? a : b, n % 2 === 0 ? 'one' : 'two'));
      return found;
    };
    // Both once, then each as often as it may come back in turn.
    expect(await alternating(3 + CLONE_TURNS)).toEqual([...Array(2 + CLONE_TURNS).fill(false), true]);
    at += 120_000;
    for (let n = 0; n < 20; n += 1) expect(await login(n % 2 === 0 ? a : b, `boot ${n}`)).toBe(false);
    at += 120_000;
    expect(await alternating(2 + CLONE_TURNS)).not.toContain(true);
    const terms = { keyAlone: true, expiresAfter: NOW, otherBootSince: at - 60_000 };
    const logins = ['one', 'two'].map((bootId) => b.agents.logIn(claimOf(agent, { bootId, now: at }), terms));
    expect((await Promise.all(logins)).map(({ kind }) => kind)).toEqual(['claimed', 'found']);
  });

  it('fence an append of the node that an agent has left, also one that is on its way', async () => {
    const [a, b] = stores();
    const epoch = await online(a, agent);
    await a.inbox.append(agent, epoch, 1, framesOf(1, items(`${agent}-1`)), NOW);
    const flying = Promise.allSettled(
      Array.from({ length: 20 }, (_, index) =>
        a.inbox.append(agent, epoch, index + 2, framesOf(index + 2, items(`${agent}-${index + 2}`)), NOW),
      ),
    );
    const claimed = await b.agents.claimSession(claimOf(agent, { session: 's2', node: 'node-2' }));
    const taken = (await flying).filter(({ status }) => status === 'fulfilled').length;
    // What was acknowledged before the claim is below its position, and nothing comes behind it.
    expect(claimed.up?.number).toBe(1 + taken);
    await expect(
      a.inbox.append(agent, epoch, taken + 2, framesOf(taken + 2, items('late')), NOW),
    ).rejects.toMatchObject({
      code: 'stale_epoch',
    });
    await b.inbox.append(agent, claimed.epoch, taken + 2, framesOf(taken + 2, items(`${agent}-next`)), NOW);
    const ids = (await allEventIds(a)).filter((id) => id.startsWith(`${agent}-`));
    expect(ids).toEqual([...Array.from({ length: taken + 1 }, (_, index) => `${agent}-${index + 1}`), `${agent}-next`]);
  });

  it('let a token with one use enroll one of two machines', async () => {
    const [a, b] = stores();
    await a.tokens.addEnrollmentToken(enrollmentToken('one-use'), ACT);
    const results = await Promise.allSettled(
      [a, b].map((store, index) =>
        store.agents.register(
          { id: `m-${index}`, name: `m-${index}`, publicKey: `k-${index}`, keyThumbprint: `t-${index}`, now: NOW },
          'one-use',
          ACT,
        ),
      ),
    );
    expect(outcomes(results).toSorted()).toEqual(['done', 'token_used']);
  });

  it('let a recovery code give one of two machines the agent', async () => {
    const [a, b] = stores();
    await registered(a, agent);
    const code = { hash: `hash of ${agent}`, createdAt: NOW, createdBy: 'test', expiresAt: NOW + 60_000 };
    await a.enrollments.putRecoveryCode(agent, code, ACT);
    const recovery = { agentId: agent, hash: code.hash, now: NOW + 1, reason: 'recovered' };
    const results = await Promise.allSettled(
      [a, b].map((store, index) => {
        const key = `${agent} of machine ${index}`;
        return store.enrollments.recover({ ...recovery, publicKey: key, keyThumbprint: key }, ACT);
      }),
    );
    expect(outcomes(results).toSorted()).toEqual(['done', 'recovery_code_used']);
  });

  it('keep one chain of audit entries under eight writers', async () => {
    const [a, b] = stores();
    await Promise.all(
      Array.from({ length: 8 }, async (_, writer) => {
        for (let entry = 0; entry < 25; entry += 1)
          await (writer % 2 === 0 ? a : b).audit.append(
            auditEntry('test.chain', { detail: `{"n":${writer * 100 + entry}}` }),
          );
      }),
    );
    const checked = await b.audit.check({ number: 0, hash: CHAIN_START }, 10_000);
    expect(checked.faults).toEqual([]);
    expect(checked.count).toBeGreaterThanOrEqual(200);
  });

  it('take one of two changes that are made of the same version', async () => {
    const [a, b] = stores();
    const { version } = await a.parameters.load();
    const changes = [a, b].map((store, index) =>
      store.parameters.save({
        expectedVersion: version,
        rows: [{ name: 'agents.max', value: String(100 + index), changedBy: 'admin', changedAt: NOW }],
        pending: null,
        audit: ACT,
      }),
    );
    expect(outcomes(await Promise.allSettled(changes)).toSorted()).toEqual(['done', 'version_conflict']);
    const keys = [a, b].map((store) =>
      store.keyMaterial.put(
        [{ subject: 'authority', version: 0, entries: [{ name: 'authority.x', value: 'v' }] }],
        ACT,
      ),
    );
    expect(outcomes(await Promise.allSettled(keys)).toSorted()).toEqual(['done', 'key_material_conflict']);
  });

  it('store each event once when connections are cut again and again', { timeout: 60_000 }, async () => {
    const [a] = stores();
    const epoch = await online(a, agent);
    const { primary } = database.cluster;
    let isSending = true;
    const cuts = (async () => {
      let cut = 0;
      while (isSending) {
        const rows = await primary.sql<{ readonly cut: boolean }>(
          `SELECT pg_terminate_backend(pid) AS cut FROM pg_stat_activity
            WHERE datname = $1 AND application_name = 'queuegate-central' AND state <> 'idle'`,
          [database.name],
        );
        cut += rows.length;
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
      return cut;
    })();
    try {
      for (let number = 1; number <= 100; number += 1) {
        const through = await a.inbox.append(agent, epoch, number, framesOf(number, items(`${agent}-${number}`)), NOW);
        expect(through).toBe(number);
        if (number % 10 === 0) await a.outbox.append(agent, [message(`${agent}-c-${number}`)], ROOM, NOW);
      }
    } finally {
      isSending = false;
    }
    expect(await cuts).toBeGreaterThan(10);
    const ids = (await allEventIds(a)).filter((id) => id.startsWith(`${agent}-`));
    expect(ids).toEqual(Array.from({ length: 100 }, (_, index) => `${agent}-${index + 1}`));
    expect((await a.outbox.read(agent, 0, 100, 1e6)).map(({ number }) => number)).toEqual(
      Array.from({ length: 10 }, (_, index) => index + 1),
    );
  });

  it('append the events of other agents while the place of one is locked, and its own as soon as it is free', async () => {
    const [a] = stores();
    const others = [`${agent}-b`, `${agent}-c`];
    const began = async (id: string): Promise<number> => {
      const epoch = await online(a, id);
      await a.inbox.begin(id, epoch, { incarnation: 'one', next: 1, missing: null, deduplicates: true }, NOW);
      return epoch;
    };
    const epochs = await Promise.all([agent, ...others].map(began));
    const client = new Client({ connectionString: database.url });
    await client.connect();
    await client.query('BEGIN');
    // As a login does.
    await client.query(
      'SELECT 1 FROM inbox_log JOIN agent ON agent.key = peer WHERE agent.id = $1 FOR UPDATE OF inbox_log',
      [agent],
    );
    const done: string[] = [];
    const append = async (id: string, index: number): Promise<void> => {
      await a.inbox.append(id, epochs[index] ?? 0, 1, framesOf(1, items(`${id}/1`)), NOW);
      done.push(id);
    };
    const appends = [agent, ...others].map(append);
    await Promise.all(appends.slice(1));
    expect(done.toSorted()).toEqual(others);
    await client.query('ROLLBACK');
    await client.end();
    await Promise.all(appends);
    expect(done).toHaveLength(3);
    // One that was removed meanwhile is not waited for.
    await a.agents.remove(agent, ACT);
    await expect(a.inbox.append(agent, epochs[0] ?? 0, 2, framesOf(2, items('late')), NOW)).rejects.toMatchObject({
      code: 'stale_epoch',
    });
  });

  it('tell each other what they committed, and who leads', async () => {
    const [a, b] = stores();
    const { next } = (await b.nodes?.news()) ?? { next: 0 };
    await registered(a, agent);
    await a.outbox.append(agent, [message(`${agent}-c`)], ROOM, NOW);
    const beat = { now: Date.now(), sessions: 3, appliedParameters: 1 };
    await a.nodes?.beat({ ...beat, after: next });
    const news = await b.nodes?.beat({ ...beat, after: next });
    expect(news?.changes).toEqual([
      { subject: 'agents', id: agent, isDeleted: false, labelsBefore: null },
      { subject: 'commands', id: agent, isDeleted: false, labelsBefore: null },
    ]);
    expect(news?.nodes.map(({ name, state, leads, sessions }) => ({ name, state, leads, sessions }))).toEqual([
      { name: 'node-1', state: 'alive', leads: true, sessions: 3 },
      { name: 'node-2', state: 'alive', leads: false, sessions: 3 },
    ]);
    // What it changed itself is nothing new to it.
    expect((await a.nodes?.beat({ ...beat, after: next }))?.changes).toEqual([]);
    expect((await b.nodes?.beat({ ...beat, after: news?.next ?? 0 }))?.changes).toEqual([]);
  });

  it('let one of them do at a time what only one may do', async () => {
    const [a, b] = stores();
    const holders = async (...of: Store[]): Promise<unknown[]> => {
      const found: unknown[] = [];
      for (const store of of) found.push((await store.nodes?.hold('parameters'))?.holder);
      return found;
    };
    expect(await holders(a, b)).toEqual([null, 'node-1']);
    await b.nodes?.release('parameters');
    expect(await holders(b)).toEqual(['node-1']);
    await a.nodes?.release('parameters');
    expect(await holders(b, a)).toEqual([null, 'node-2']);
    expect((await a.nodes?.hold('parameters'))?.nodes.map(({ name }) => name)).toEqual(['node-1', 'node-2']);
    await b.nodes?.release('parameters');
  });

  it('refuse a second process of the same name while the first one works', async () => {
    await expect(openAt(database.url, 'node-1')).rejects.toMatchObject({ code: 'node_taken' });
  });

  it('write nothing more once another process has the name', async () => {
    const failed = Promise.withResolvers<string>();
    const store = await openPostgresStore({
      url: database.url,
      node: { name: 'node-3', address: null, version: '0.1.0' },
      deduplicationMs: 1,
      onFailure: ({ code }) => failed.resolve(code),
    });
    await database.cluster.primary.sql("UPDATE node SET last_seen_at = 0 WHERE name = 'node-3'", [], database.name);
    const other = await openAt(database.url, 'node-3');
    await expect(store.audit.append(ACT)).rejects.toMatchObject({ code: 'node_fenced' });
    expect(await failed.promise).toBe('node_fenced');
    await other.audit.append(ACT);
    await store.stop();
    const [a] = stores();
    const beat = { now: Date.now(), sessions: 5, appliedParameters: 1, after: 0 };
    await other.nodes?.beat(beat);
    await other.stop();
    // One that has stopped holds no session.
    const nodes = (await a.nodes?.beat(beat))?.nodes ?? [];
    expect(nodes.filter(({ name }) => name === 'node-3')).toMatchObject([{ state: 'stopped', sessions: 0 }]);
  });
});

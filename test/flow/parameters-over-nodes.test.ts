// Two real Centrals on one PostgreSQL: a change of parameters applies at both or at none, also when one of them is
// killed, frozen or cannot listen, and one that is not confirmed is rolled back at both.
import { randomBytes } from 'node:crypto';
import { copyFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { lacksPostgres } from '../postgres/binaries.ts';
import { freshDatabase, type TestDatabase } from '../postgres/cluster.ts';
import { CentralProcess, Cleanup, freePorts, until } from './processes.ts';

const KEY = randomBytes(32).toString('base64');
/** Each node has an address of its own, so that both can have the port that the parameters name. */
const ADDRESS = { 'node-a': '127.0.0.2', 'node-b': '127.0.0.3' } as const;
type Name = keyof typeof ADDRESS;

const cleanup = new Cleanup();

let database: TestDatabase;
let [a, b]: CentralProcess[] = [];
const startBoth = async (): Promise<void> => {
  database = await freshDatabase();
  cleanup.add(() => database.drop());
  a = await start('node-a');
  b = await start('node-b');
};

async function start(name: Name, folder?: string): Promise<CentralProcess> {
  const used = folder ?? (await cleanup.folder());
  if (a !== undefined && folder === undefined && name === 'node-b')
    await copyFile(join(a.folder, 'administrator-token'), join(used, 'administrator-token'));
  return await CentralProcess.start(cleanup, used, [], {
    QUEUEGATE_STORE_URL: database.url,
    QUEUEGATE_CENTRAL_NAME: 'centrals',
    QUEUEGATE_NODE_NAME: name,
    QUEUEGATE_BIND_ADDRESS: ADDRESS[name],
    QUEUEGATE_KEY_ENCRYPTION_KEY: KEY,
  });
}

function nodes(): [CentralProcess, CentralProcess] {
  if (a === undefined || b === undefined) throw new Error('the nodes do not run');
  return [a, b];
}

async function listens(name: Name, port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host: ADDRESS[name], port });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    cleanup.add(() => socket.destroy());
  });
}

/** Whether each node has this port. */
async function bothListen(port: number): Promise<[boolean, boolean]> {
  return [await listens('node-a', port), await listens('node-b', port)];
}

async function value(node: CentralProcess, name: string): Promise<unknown> {
  return ((await node.rest('GET', `/parameters/${name}`)).body as { value: unknown }).value;
}

/** Another program on the host of this node has the port. */
async function takePort(name: Name, port: number): Promise<() => Promise<void>> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(port, ADDRESS[name], resolve);
  await promise;
  const close = (): Promise<void> => new Promise((resolveClosed) => server.close(() => resolveClosed()));
  cleanup.add(close);
  return close;
}

describe.skipIf(lacksPostgres())('a change of parameters over nodes', () => {
  beforeAll(startBoth, 60_000);
  afterAll(() => cleanup.run());

  it('is made on both, or on none where the port is taken on one; a dry run says which', async () => {
    const [one, two] = nodes();
    const [before = 0, after = 0] = await freePorts(2);
    const made = await one.change({ 'services.port': before });
    expect([made.status, made.body.result.nodes]).toEqual([
      200,
      [
        { name: 'node-a', answer: 'ready', detail: null },
        { name: 'node-b', answer: 'ready', detail: null },
      ],
    ]);
    expect(await bothListen(before)).toEqual([true, true]);
    const free = await takePort('node-b', after);
    const dry = await one.change({ 'services.port': after }, { dryRun: true });
    expect(dry.body.result.nodes).toEqual([
      { name: 'node-a', answer: 'ready', detail: null },
      { name: 'node-b', answer: 'refused', detail: expect.stringContaining(String(after)) },
    ]);
    const refused = await one.change({ 'services.port': after });
    expect([refused.status, refused.body.code]).toEqual([409, 'node_cannot_apply']);
    expect(refused.body.detail).toMatch(new RegExp(`node-b.*${after}`));
    expect(await listens('node-a', after)).toBe(false);
    expect(await bothListen(before)).toEqual([true, true]);
    expect([await value(one, 'services.port'), await value(two, 'services.port')]).toEqual([before, before]);
    await free();
    // Nothing is held any more, and the other node may make it too.
    expect((await two.change({ 'services.port': after })).status).toBe(200);
    expect(await bothListen(after)).toEqual([true, true]);
    expect(await bothListen(before)).toEqual([false, false]);
  });

  it('turns unencrypted connections off at both: they go on for each host itself', async () => {
    const [one, two] = nodes();
    const open = async (): Promise<boolean[]> => [
      await listens('node-a', one.ports.ws),
      await listens('node-b', two.ports.ws),
    ];
    expect((await one.change({ 'websocket.enabled': true })).status).toBe(200);
    expect(await open()).toEqual([true, true]);
    expect((await two.change({ 'websocket.enabled': false })).status).toBe(200);
    expect(await open()).toEqual([false, false]);
    for (const { ports } of [one, two])
      expect((await fetch(`http://127.0.0.1:${ports.ws}/crl.der`).catch(() => undefined))?.status).toBeDefined();
  });

  it('is refused where one has the port on loopback only, and another program on its own address', async () => {
    const [one, two] = nodes();
    const free = await takePort('node-b', two.ports.ws);
    const refused = await one.change({ 'websocket.enabled': true });
    expect([refused.status, refused.body.code]).toEqual([409, 'node_cannot_apply']);
    expect(await listens('node-a', one.ports.ws)).toBe(false);
    expect([await value(one, 'websocket.enabled'), await value(two, 'websocket.enabled')]).toEqual([false, false]);
    await free();
    expect((await one.change({ 'websocket.enabled': true })).status).toBe(200);
    expect([await listens('node-a', one.ports.ws), await listens('node-b', two.ports.ws)]).toEqual([true, true]);
  });

  it('of two nodes at once are made one after the other', async () => {
    const [one, two] = nodes();
    const [first, second] = await Promise.all([
      one.change({ 'agents.heartbeatSeconds': 17 }),
      two.change({ 'agents.drain.spreadSeconds': 7 }),
    ]);
    expect([first.status, second.status]).toEqual([200, 200]);
    for (const node of [one, two])
      expect([await value(node, 'agents.heartbeatSeconds'), await value(node, 'agents.drain.spreadSeconds')]).toEqual([
        17, 7,
      ]);
  });
});

describe.skipIf(lacksPostgres())('a change of parameters while a node is gone', () => {
  beforeEach(startBoth, 60_000);
  afterEach(() => cleanup.run());

  it('waits for a frozen node until it is given up; that one ends, and comes back with the new values', async () => {
    const [one, two] = nodes();
    const [port = 0] = await freePorts(1);
    two.process.child.kill('SIGSTOP');
    const at = Date.now();
    expect((await one.change({ 'services.port': port })).status).toBe(200);
    expect(Date.now() - at).toBeLessThan(10_000);
    two.process.child.kill('SIGCONT');
    expect(await two.process.ended()).toMatchObject({ code: 1 });
    expect(await bothListen(port)).toEqual([true, false]);
    const again = await start('node-b', two.folder);
    expect(await value(again, 'services.port')).toBe(port);
    expect(await bothListen(port)).toEqual([true, true]);
  });

  it('is made everywhere or nowhere when the node that makes it is killed at any moment', async () => {
    const [, two] = nodes();
    let [one] = nodes();
    const ports = await freePorts(4);
    const [first = 0] = ports;
    expect((await one.change({ 'services.port': first })).status).toBe(200);
    let served = first;
    for (const [index, ms] of [20, 150, 350].entries()) {
      const [before, port] = [served, ports[index + 1] ?? 0];
      const asked = one.change({ 'services.port': port }).catch(() => undefined);
      await delay(ms);
      await one.process.stop('SIGKILL');
      await asked;
      one = await start('node-a', one.folder);
      served = Number(await value(one, 'services.port'));
      expect(await value(two, 'services.port')).toBe(served);
      await until(async () => ((await bothListen(served)).every(Boolean) ? true : undefined), 10_000);
      // What was kept for a change that was not made is free again.
      expect([before, port]).toContain(served);
      const other = served === port ? before : port;
      await until(async () => ((await bothListen(other)).some(Boolean) ? undefined : true), 10_000);
    }
    // And the turn is not lost.
    expect((await two.change({ 'services.port': first })).status).toBe(200);
    expect(await bothListen(first)).toEqual([true, true]);
  });

  it('that is not confirmed is rolled back at both, also when the node that made it is killed', async () => {
    const [one, two] = nodes();
    const [before = 0, after = 0] = await freePorts(2);
    expect((await one.change({ 'services.port': before })).status).toBe(200);
    const made = await one.change({ 'services.port': after }, { confirmWithinSeconds: 5 });
    expect(made.status).toBe(202);
    expect(await bothListen(after)).toEqual([true, true]);
    await until(async () => ((await bothListen(before)).every(Boolean) ? true : undefined), 10_000);
    expect(await bothListen(after)).toEqual([false, false]);
    // The node that leads and made the change is killed; the other one leads then, and rolls it back.
    const killed = await one.change({ 'services.port': after }, { confirmWithinSeconds: 5 });
    expect(killed.status).toBe(202);
    await one.process.stop('SIGKILL');
    expect(await listens('node-b', after)).toBe(true);
    await until(async () => (await listens('node-b', before)) || undefined, 20_000);
    const { body } = await two.rest('GET', `/changes/${String(killed.body.change.id)}`);
    expect(body).toMatchObject({ state: 'rolled-back' });
    await start('node-a', one.folder);
    expect(await bothListen(before)).toEqual([true, true]);
  });

  it('goes on when the node that made it starts again, and is confirmed at the other', async () => {
    const [one, two] = nodes();
    const [port = 0] = await freePorts(1);
    const made = await one.change({ 'services.port': port }, { confirmWithinSeconds: 60, confirmShare: 0 });
    expect(made.status).toBe(202);
    await one.process.stop('SIGKILL');
    const again = await start('node-a', one.folder);
    expect(await value(again, 'services.port')).toBe(port);
    const { id } = made.body.change as { id: string };
    expect((await two.rest('POST', `/changes/${id}/confirm`, {})).body).toMatchObject({ state: 'confirmed' });
    await until(async () =>
      (await again.rest('GET', `/changes/${id}`)).body.state === 'confirmed' ? true : undefined,
    );
    expect(await bothListen(port)).toEqual([true, true]);
    // The same with a server certificate.
    const issued = await again.rest('POST', '/server-certificate/issue?confirmWithinSeconds=60&confirmShare=0', {});
    expect(issued.status).toBe(202);
    const path = `/changes/${String(issued.body.change.id)}`;
    await again.process.stop('SIGKILL');
    const third = await start('node-a', one.folder);
    expect((await third.rest('GET', path)).body).toMatchObject({ state: 'pending' });
    expect((await two.rest('POST', `${path}/rollback`, {})).body).toMatchObject({ state: 'rolled-back' });
  });
});

// The parameters of two nodes on one PostgreSQL, in the process of the test; only what listens is a fake.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { lacksPostgres } from '../../../postgres/binaries.ts';
import { freshDatabase, type TestDatabase } from '../../../postgres/cluster.ts';
import { ANN, openNode as open, type TestNode } from './nodes-in-process.ts';

describe.skipIf(lacksPostgres())('the parameters of two nodes', () => {
  let database: TestDatabase;
  let nodes: TestNode[] = [];
  const both = (): [TestNode, TestNode] => nodes as [TestNode, TestNode];
  let port = 9_000;
  beforeAll(async () => {
    database = await freshDatabase();
    nodes = [await open(database.url, 'node-1'), await open(database.url, 'node-2')];
  });
  afterAll(async () => {
    for (const node of nodes) await node.stop();
    await database.drop();
  });
  beforeEach(() => {
    port += 1;
    for (const node of nodes) node.failing = undefined;
  });

  const portsOf = (): number[] => both().map(({ listening }) => listening['services.port']);

  it('apply at both when the answer arrives, whichever makes the change, without a wait for what was not heard yet', async () => {
    const [a, b] = both();
    await a.parameters.change({ values: { 'services.port': port } }, ANN);
    expect(portsOf()).toEqual([port, port]);
    port += 1;
    await b.parameters.change({ values: { 'services.port': port } }, ANN);
    expect(portsOf()).toEqual([port, port]);
    expect([a.parameters.appliedVersion, b.parameters.appliedVersion]).toEqual([2, 2]);
  });

  it('go back at both where one cannot move its listeners though it said that it could', async () => {
    const [a, b] = both();
    const before = portsOf();
    b.failing = port;
    await expect(a.parameters.change({ values: { 'services.port': port } }, ANN)).rejects.toMatchObject({
      code: 'node_cannot_apply',
      message: 'The node node-2 cannot apply the change: the port is taken. Nothing changed on any node.',
    });
    expect(portsOf()).toEqual(before);
    const confirm = { withinSeconds: 60, share: 0 };
    await expect(a.parameters.change({ values: { 'services.port': port }, confirm }, ANN)).rejects.toMatchObject({
      code: 'node_cannot_apply',
    });
    expect(a.changes.pending('parameters')).toBeNull();
    expect((await a.store.audit.list({ limit: 2 })).map(({ action }) => action)).toEqual([
      'changes.rollback',
      'parameters.set',
    ]);
    expect([portsOf(), b.parameters.problems()]).toEqual([before, []]);
  });

  it('are confirmed at either, at once', async () => {
    const [a, b] = both();
    const confirm = { withinSeconds: 60, share: 0 };
    const { change } = await a.parameters.change({ values: { 'services.port': port }, confirm }, ANN);
    const { id = '' } = change ?? {};
    expect(await b.changes.confirm(id, {}, ANN)).toMatchObject({ state: 'confirmed' });
    await expect(a.changes.confirm(id, {}, ANN)).rejects.toMatchObject({ code: 'change_ended' });
    await expect(a.changes.rollBack(id, ANN)).rejects.toMatchObject({ code: 'change_ended' });
    expect(portsOf()).toEqual([port, port]);
  });

  it('are taken as they are by one that starts, which rolls nothing back', async () => {
    const [a, b] = both();
    const confirm = { withinSeconds: 60, share: 0 };
    const { change } = await a.parameters.change({ values: { 'services.port': port }, confirm }, ANN);
    const third = await open(database.url, 'node-3');
    expect(third.listening['services.port']).toBe(port);
    expect(third.changes.pending('parameters')?.id).toBe(change?.id);
    await third.changes.rollBack(change?.id ?? '', ANN);
    await third.stop();
    expect(portsOf()).toEqual([port - 1, port - 1]);
    expect(await b.changes.get(change?.id ?? '')).toMatchObject({ state: 'rolled-back' });
  });
});

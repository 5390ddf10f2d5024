// The parameters of two nodes on one PostgreSQL, in the process of the test; only what listens is a fake.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Changes } from '../../../../central/change/changes.ts';
import { NodeService } from '../../../../central/nodes/node-service.ts';
import { defaultValues, type ParameterValues } from '../../../../central/parameters/definitions.ts';
import { Agreement } from '../../../../central/parameters/nodes/agreement.ts';
import { ParameterService } from '../../../../central/parameters/service.ts';
import { ParameterState } from '../../../../central/parameters/state.ts';
import type { SharedChange } from '../../../../central/store/nodes/node-store.ts';
import type { Store } from '../../../../central/store/store.ts';
import { lacksPostgres } from '../../../postgres/binaries.ts';
import { freshDatabase, type TestDatabase } from '../../../postgres/cluster.ts';
import { openAt } from '../../store/postgres/engine.ts';

const ANN = { who: 'ann', from: '10.0.0.1' };
const LOG = { info() {}, warn() {}, error() {} };
const now = (): number => Date.now();
const after = (ms: number, run: () => void): (() => void) => {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
};

interface TestNode {
  readonly store: Store;
  readonly parameters: ParameterService;
  readonly changes: Changes;
  /** What its listeners were moved to. */
  listening: ParameterValues;
  /** Its listeners cannot be moved to this port of services, though it was free before. */
  failing: number | undefined;
  stop(): Promise<void>;
}

async function open(url: string, name: string): Promise<TestNode> {
  const store = await openAt(url, name);
  const nodes = new NodeService({ nodes: store.nodes, name, address: undefined, log: LOG, now });
  await nodes.start();
  const changes = new Changes({
    node: name,
    log: LOG,
    now,
    after,
    leads: () => nodes.leads(),
    storeTime: () => nodes.storeTime(),
  });
  const state = await ParameterState.open({ store: store.parameters, overrides: [], isShared: true, log: LOG, now });
  const base = { log: LOG, now, after, node: name };
  const parameters = new ParameterService({
    ...base,
    state,
    changes,
    applier: {
      check: async () => [],
      hold: async () => [],
      release: () => undefined,
      async apply(next) {
        if (next['services.port'] === node.failing) throw new Error('the port is taken');
        node.listening = next;
      },
      describe: () => [],
    },
    agents: { online: async () => [] },
    agreement: new Agreement({ ...base, store: store.nodes, nodes, clock: () => performance.now() }),
    onChanged: () => undefined,
  });
  const node: TestNode = {
    store,
    parameters,
    changes,
    listening: defaultValues(),
    failing: undefined,
    async stop() {
      parameters.stop();
      await changes.stop();
      await nodes.stop();
      await store.stop();
    },
  };
  const isOfParameters = ({ subject }: SharedChange): boolean => subject === 'parameters';
  const follower = {
    apply: async (told: readonly SharedChange[]) => {
      if (told.some(isOfParameters)) await parameters.follow();
    },
    applyAll: () => parameters.follow(),
  };
  nodes.follow(follower, { sessions: () => 0, parameters: () => parameters.appliedVersion });
  await parameters.start(async (values) => void (node.listening = values));
  return node;
}

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

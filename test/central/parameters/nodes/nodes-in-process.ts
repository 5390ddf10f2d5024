// The parameters of a node on PostgreSQL, in the process of the test; only what listens is a fake.
import { Changes } from '../../../../central/change/changes.ts';
import { NodeService } from '../../../../central/nodes/node-service.ts';
import { defaultValues, type ParameterValues } from '../../../../central/parameters/definitions.ts';
import { Agreement } from '../../../../central/parameters/nodes/agreement.ts';
import { ParameterService } from '../../../../central/parameters/service.ts';
import { ParameterState } from '../../../../central/parameters/state.ts';
import type { SharedChange } from '../../../../central/store/nodes/node-store.ts';
import type { Store } from '../../../../central/store/store.ts';
import { openAt } from '../../store/postgres/engine.ts';

export const ANN = { who: 'ann', from: '10.0.0.1' };
const LOG = { info() {}, warn() {}, error() {} };
const now = (): number => Date.now();
const after = (ms: number, run: () => void): (() => void) => {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
};

export interface TestNode {
  readonly store: Store;
  readonly parameters: ParameterService;
  readonly changes: Changes;
  /** What its listeners were moved to. */
  listening: ParameterValues;
  /** Its listeners cannot be moved to this port of services, though it was free before. */
  failing: number | undefined;
  /** Called before its listeners move. */
  onApply: () => void;
  stop(): Promise<void>;
}

export async function openNode(url: string, name: string): Promise<TestNode> {
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
        node.onApply();
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
    onApply: () => undefined,
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

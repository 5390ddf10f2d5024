// A Central with several nodes, whose rows are in memory.
import type { AuditEntry } from '../../../../central/store/audit-store.ts';
import { nodeFault } from '../../../../central/store/nodes/errors.ts';
import type { NodeRecord, NodeStore } from '../../../../central/store/nodes/node-store.ts';
import { startRest, type Rest } from '../rest.ts';

/** Also the entries of what was done to nodes. */
export async function startNodes(...records: readonly NodeRecord[]): Promise<Rest & { readonly acts: AuditEntry[] }> {
  const known = new Map(records.map((record) => [record.name, record]));
  const find = (name: string): NodeRecord => {
    const found = known.get(name);
    if (found === undefined) throw nodeFault('node_unknown', { name });
    return found;
  };
  const acts: AuditEntry[] = [];
  const rest = await startRest(async (store) => {
    const news = async () => {
      const seen = { nodes: [...known.values()], databaseTime: 0, changes: [], next: 0 };
      return { ...seen, hasGap: false, hasMore: false };
    };
    const nodes: NodeStore = {
      self: { name: 'a', generation: 1 },
      beat: news,
      news,
      onHint: () => undefined,
      tell: async () => undefined,
      sawBoot: async () => false,
      hold: async () => ({ holder: null, nodes: [] }),
      release: async () => undefined,
      async drain(name, isDrained, audit) {
        acts.push(audit);
        const drained = { ...find(name), drainedAt: isDrained ? 60_000 : null };
        known.set(name, drained);
        return drained;
      },
      async remove(name, audit) {
        if (find(name).state === 'alive') throw nodeFault('node_alive', { name });
        acts.push(audit);
        known.delete(name);
      },
    };
    const stats = (): never => {
      throw new Error('not in this test');
    };
    return { store: { idempotency: store.idempotency, nodes, stats } };
  });
  return { ...rest, acts };
}

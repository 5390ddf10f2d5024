// A PostgreSQL that does not answer in the middle of a change of parameters: whatever becomes of the change, both nodes
// have the same parameters afterwards.
import { afterEach, describe, expect, it } from 'vitest';
import { lacksPostgres } from '../../../postgres/binaries.ts';
import { freshDatabase } from '../../../postgres/cluster.ts';
import { Cleanup, until } from '../../../flow/processes.ts';
import { ANN, openNode } from './nodes-in-process.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

describe.skipIf(lacksPostgres())('a change of parameters while PostgreSQL is frozen', () => {
  it('applies at both nodes or at none once it works again, and the next one is made', async () => {
    const database = await freshDatabase();
    cleanup.add(() => database.drop());
    const { primary } = database.cluster;
    const nodes = [await openNode(database.url, 'node-1'), await openNode(database.url, 'node-2')] as const;
    const [a, b] = nodes;
    for (const node of nodes) cleanup.add(() => node.stop());
    const ports = (): number[] => nodes.map(({ listening }) => listening['services.port']);
    // Before it is stored: the other node has said that it is ready.
    a.onApply = () => {
      a.onApply = () => undefined;
      primary.freeze();
    };
    await expect(a.parameters.change({ values: { 'services.port': 9_443 } }, ANN)).rejects.toMatchObject({
      status: 503,
    });
    primary.thaw();
    // The turn is given back behind what was asked before.
    const isReturned = "SELECT 1 FROM lease WHERE name = 'parameters' AND until = 0";
    await until(async () => (await primary.sql(isReturned, [], database.name)).length > 0 || undefined, 20_000);
    const { version, rows } = await until(() => b.store.parameters.load().catch(() => undefined), 10_000);
    const stored = Number(rows.find(({ name }) => name === 'services.port')?.value ?? 0);
    await until(() => ports().every((port) => port === stored) || undefined, 10_000);
    await until(() => nodes.every(({ parameters }) => parameters.appliedVersion === version) || undefined, 5_000);
    await b.parameters.change({ values: { 'services.port': 9_444 } }, ANN);
    expect(ports()).toEqual([9_444, 9_444]);
  });
});

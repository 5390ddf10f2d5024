// The contract of the store, on PostgreSQL.
import { afterAll, beforeAll } from 'vitest';
import { PostgresCluster } from '../../../postgres/cluster.ts';
import { storeContract } from '../contract.ts';
import { engineAt } from './engine.ts';

let cluster: PostgresCluster;
beforeAll(async () => {
  cluster = await PostgresCluster.start();
});
afterAll(() => cluster.remove());

storeContract('PostgreSQL', async () => engineAt(cluster.url(await cluster.createDatabase())));

// The contract of the store, on PostgreSQL behind PgBouncer in transaction mode: each transaction may have another
// connection, and statements with names or settings of a session would be lost.
import { afterAll, beforeAll, describe } from 'vitest';
import { PostgresCluster } from '../../../postgres/cluster.ts';
import { lacksPgBouncer, startPgBouncer, type PgBouncer } from '../../../postgres/pooler.ts';
import { storeContract } from '../contract.ts';
import { engineAt } from './engine.ts';

describe.skipIf(lacksPgBouncer())('behind PgBouncer', () => {
  let cluster: PostgresCluster;
  let pooler: PgBouncer;
  beforeAll(async () => {
    cluster = await PostgresCluster.start();
    pooler = await startPgBouncer(cluster);
  });
  afterAll(async () => {
    await pooler.stop();
    await cluster.remove();
  });

  storeContract('PostgreSQL', async () => engineAt(pooler.url(await cluster.createDatabase())));
});

// The store in PostgreSQL, as the contract wants it: each engine in an empty database of one cluster.
import { openPostgresStore } from '../../../../central/store/postgres/postgres-store.ts';
import type { Store } from '../../../../central/store/store.ts';
import { DAY, type Engine } from '../samples.ts';

/** Opens the store as a node; what its threads report ends the test. */
export function openAt(url: string, name = 'node-1'): Promise<Store> {
  return openPostgresStore({
    url,
    node: { name, address: null, version: '0.1.0' },
    deduplicationMs: 7 * DAY,
    namesOfCentral: ['Central.Test', 'host-of-central'],
    onFailure: (error) => {
      throw error;
    },
  });
}

export async function engineAt(url: string): Promise<Engine> {
  let store = await openAt(url);
  return {
    store,
    async restart() {
      await store.stop();
      store = await openAt(url);
      return store;
    },
    async dispose() {
      await store.stop();
    },
  };
}

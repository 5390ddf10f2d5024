// The store of one machine, as the contract wants it: in a folder that a test has prepared or that is empty.
import { openSqliteStore } from '../../../../central/store/sqlite/sqlite-store.ts';
import type { Store } from '../../../../central/store/store.ts';
import { DAY, type Engine } from '../samples.ts';

/** Opens the store; what its threads report ends the test. */
export function openAt(folder: string): Promise<Store> {
  return openSqliteStore({
    folder,
    deduplicationMs: 7 * DAY,
    namesOfCentral: ['Central.Test', 'host-of-central'],
    onFailure: (error) => {
      throw error;
    },
  });
}

/** The folder is the caller's to delete. */
export async function engineAt(folder: string): Promise<Engine> {
  let store = await openAt(folder);
  return {
    store,
    async restart() {
      await store.stop();
      store = await openAt(folder);
      return store;
    },
    async dispose() {
      await store.stop();
    },
  };
}

// Opens stores of several nodes on one database, in the process of the test.
import type { Store } from '../../central/store/store.ts';
import { openPostgresStore } from '../../central/store/postgres/postgres-store.ts';
import type { Cleanup } from '../flow/processes.ts';
import { DAY } from '../central/store/samples.ts';

const BEAT_MS = 1_000;

/** The store of a node that says each second that it is alive, as Central does. */
export async function openNode(
  cleanup: Cleanup,
  url: string,
  name: string,
  onFailure: (error: unknown) => void = (error) => failures.push(error),
): Promise<Store> {
  const store = await openPostgresStore({
    url,
    node: { name, address: null, version: '0.1.0' },
    deduplicationMs: 7 * DAY,
    onFailure,
  });
  let after = 0;
  let isBeating = false;
  const timer = setInterval(() => {
    if (isBeating) return;
    isBeating = true;
    void store.nodes
      ?.beat({ now: Date.now(), sessions: 0, appliedParameters: 0, after })
      .then(({ next }) => (after = next))
      .catch(onFailure)
      .finally(() => (isBeating = false));
  }, BEAT_MS);
  cleanup.add(async () => {
    clearInterval(timer);
    await store.stop();
  });
  return store;
}

/** What ended a store of this process. */
export const failures: unknown[] = [];

// A process that a test kills: appends events of one agent, several calls in flight, and prints each number that was
// answered.
import { openSqliteStore } from '../../../../central/store/sqlite/sqlite-store.ts';
import { claimOf, items, NOW, online } from '../samples.ts';
import { framesOf } from '../../../shared/delivery/frames.ts';

const folder = process.argv[2];
if (folder === undefined) throw new Error('the folder is missing');
const store = await openSqliteStore({
  folder,
  deduplicationMs: 1_000_000,
  onFailure: (error) => {
    throw error;
  },
});
const known = await store.agents.get('a1');
const grant =
  known === undefined ? { epoch: await online(store, 'a1'), up: null } : await store.agents.claimSession(claimOf('a1'));
let next = (grant.up?.number ?? 0) + 1;

async function append(): Promise<void> {
  for (;;) {
    const first = next;
    next += 3;
    const through = await store.inbox.append(
      'a1',
      grant.epoch,
      first,
      framesOf(first, items(`e${first}`, `e${first + 1}`, `e${first + 2}`)),
      NOW,
    );
    process.stdout.write(`${through}\n`);
  }
}

await Promise.all([append(), append(), append(), append()]);

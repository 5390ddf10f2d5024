// Hands one command out to the consumer `default`, and is killed at once, as kill -9 does. Argument: the data folder.
import { items, openAt } from './samples.ts';
import { framesOf } from '../../shared/delivery/frames.ts';

const store = openAt(process.argv[2] ?? '');
await store.inbox.begin({ incarnation: 'A', next: 1, missing: null });
await store.inbox.append(1, framesOf(1, items('one', 'two')));
const [first] = await store.inbox.take('default', 1);
await store.inbox.deliver('default', first?.cursor ?? 0);
process.kill(process.pid, 'SIGKILL');

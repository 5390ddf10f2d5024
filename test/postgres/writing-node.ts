// A process of its own that writes events as a node, until it is ended or fenced: its arguments are the URL and the agents.
import { setTimeout as delay } from 'node:timers/promises';
import { claimOf, items } from '../central/store/samples.ts';
import { Cleanup } from '../flow/processes.ts';
import { framesOf } from '../shared/delivery/frames.ts';
import { openNode } from './nodes.ts';

async function writeAsNode(url: string, ids: readonly string[]): Promise<void> {
  const store = await openNode(new Cleanup(), url, 'node-b', (error) => {
    process.stdout.write(`${String((error as { code?: string }).code)}\n`);
    process.exit(3);
  });
  process.stdout.write('writing\n');
  await Promise.all(
    ids.map(async (id) => {
      const claim = claimOf(id, { node: 'node-b', session: `of ${id}`, now: Date.now() });
      const { epoch, up } = await store.agents.claimSession(claim);
      const begin = { incarnation: `log of ${id}`, missing: null, deduplicates: true };
      let next = (up?.number ?? 0) + 1;
      await store.inbox.begin(id, epoch, { ...begin, next }, Date.now());
      for (;;) {
        try {
          await store.inbox.append(id, epoch, next, framesOf(next, items(`${id}/${next}`)), Date.now());
          next += 1;
        } catch {
          // Its session is at another node: an act instead, which only a living node may commit.
          await store.agents.claimSession({ ...claim, now: Date.now() }).catch(() => undefined);
          return;
        }
        await delay(1);
      }
    }),
  );
}

const [url = '', ...ids] = process.argv.slice(2);
await writeAsNode(url, ids);

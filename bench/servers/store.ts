// Works on the store of a Central that has ended, with the code of the build: fills it with agents, and trims its
// events. In a process of its own, so that its processor time is that work's alone.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Store } from '../../central/store/store.ts';
import type { SqliteStoreOptions } from '../../central/store/sqlite/sqlite-store.ts';
import { serveCalls } from '../child.ts';

export interface StoreWork {
  /** Registers so many agents with made-up keys: they are listed, and can never connect. */
  addAgents(folder: string, count: number): Promise<void>;
  /** Deletes all events but the newest ones; milliseconds of processor time. */
  trimEvents(folder: string): Promise<number>;
}

const [, , dist = ''] = process.argv;
const YEAR_MS = 365 * 86_400_000;

async function withStore<T>(folder: string, work: (store: Store) => Promise<T>): Promise<T> {
  const { href } = pathToFileURL(join(dist, 'central/store/sqlite/sqlite-store.js'));
  // The build's module of that name.
  const { openSqliteStore } = (await import(href)) as {
    openSqliteStore: (options: SqliteStoreOptions) => Promise<Store>;
  };
  const onFailure = (error: Error): void => console.error(error);
  const store = await openSqliteStore({ folder, deduplicationMs: YEAR_MS, onFailure });
  try {
    return await work(store);
  } finally {
    await store.stop();
  }
}

serveCalls({
  addAgents: (folder, count) =>
    withStore(folder, async (store) => {
      const now = Date.now();
      const audit = {
        at: now,
        who: 'bench',
        from: 'bench',
        action: 'enrollment.accept',
        detail: '{}',
        comment: null,
        ticket: null,
      };
      await Promise.all(
        Array.from({ length: count }, async (_, i) => {
          const name = `listed-${String(i).padStart(5, '0')}`;
          const keyThumbprint = createHash('sha256').update(name).digest('hex');
          const agent = { id: name, name, publicKey: name, keyThumbprint, now };
          await store.enrollments.admit(agent, 'bench', audit);
        }),
      );
    }),
  trimEvents: (folder) =>
    withStore(folder, async (store) => {
      const now = Date.now();
      const before = process.cpuUsage();
      await store.prune({
        now,
        eventsOlderThan: now + YEAR_MS,
        deadLettersOlderThan: 0,
        deduplicationOlderThan: 0,
        incidentsOlderThan: 0,
      });
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1000;
    }),
} satisfies StoreWork);

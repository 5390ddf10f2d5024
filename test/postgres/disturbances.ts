// The ways in which PostgreSQL is away for nodes, and comes back.
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { until } from '../flow/processes.ts';
import type { PostgresCluster } from './cluster.ts';

/** How long each one lasts: a whole minute, as a release is tried; .ci/run sets NODES_SECONDS=8. */
export const SECONDS = Number(process.env['NODES_SECONDS'] ?? 60);
/** So soon after the return of PostgreSQL something is acknowledged. */
export const BACK_MS = 2_000;
export const MAX_CONNECTIONS = 40;

/** Ends the connections of the nodes, so that they need new ones. How many there were. */
async function endConnections(cluster: PostgresCluster): Promise<number> {
  const ended = await cluster.primary.sql(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'queuegate-central'`,
  );
  return ended.length;
}

export interface Disturbance {
  readonly name: string;
  /** Begins it; the result ends it. */
  readonly begin: (cluster: PostgresCluster) => Promise<() => Promise<void>>;
}

export const DISTURBANCES: readonly Disturbance[] = [
  {
    name: 'frozen',
    begin: async ({ primary }) => {
      primary.freeze();
      return async () => primary.thaw();
    },
  },
  {
    name: 'stopped',
    begin: async ({ primary }) => {
      await primary.stop('fast');
      return () => primary.start();
    },
  },
  {
    name: 'read-only',
    begin: async (cluster) => {
      await cluster.primary.configure({ default_transaction_read_only: 'on' });
      await endConnections(cluster);
      return () => cluster.primary.configure({ default_transaction_read_only: 'off' });
    },
  },
  {
    name: 'without free connections',
    begin: async (cluster) => {
      const held: Client[] = [];
      let isOver = false;
      const take = async (): Promise<void> => {
        while (!isOver) {
          const client = new Client(cluster.primary.url());
          client.on('error', () => undefined);
          try {
            await client.connect();
            held.push(client);
          } catch {
            await delay(5);
          }
        }
      };
      const taking = take();
      await delay(500);
      // A node may be faster than `take` and have one of them again.
      await until(async () => (await endConnections(cluster)) === 0 || undefined);
      return async () => {
        isOver = true;
        await taking;
        for (const client of held) await client.end().catch(() => undefined);
      };
    },
  },
  {
    name: 'without its standby',
    begin: async ({ standby }) => {
      standby.freeze('walreceiver');
      return async () => standby.thaw();
    },
  },
];

// What a process does before it works with the database: brings the schema to its version, under a lock, and becomes a
// node, which no other process of the same name is.
import { randomUUID } from 'node:crypto';
import { NODE_DEAD_MS } from '../nodes/node-store.ts';
import { connect, type Connected } from './connection/client.ts';
import { postgresFault } from './errors.ts';
import { MIGRATIONS, SCHEMA_TABLE } from './schema/migrations.ts';
import type { Reply } from './threads/protocol.ts';

/** Any number, the same in each version. */
export const SCHEMA_LOCK = 5_201_314_702;
const STEP_MS = 60_000;
const LOOK_MS = 500;

export interface NodeSettings {
  readonly name: string;
  readonly address: string | null;
  readonly version: string;
}

/** Errors: store_url_invalid, store_not_postgresql, store_unreachable, store_schema_newer, node_taken. */
export async function joinDatabase(
  url: string,
  node: NodeSettings,
): Promise<{ readonly name: string; readonly generation: number }> {
  const connection = await connect(url, { timeline: 0, system: '' });
  try {
    const { name } = connection.server;
    await migrate(connection, name);
    return { name: node.name, generation: await join(connection, node, name) };
  } finally {
    await connection.close();
  }
}

/** All steps in one transaction: the schema is migrated whole, or it is as it was. */
async function migrate(connection: Connected, host: string): Promise<void> {
  const run = runner(connection, host);
  await run('BEGIN');
  await makeSchema(run, host);
  await run('COMMIT');
}

/** Within a transaction of the caller. Errors: store_schema_newer. */
export async function makeSchema(run: Run, host: string): Promise<void> {
  await run(`SELECT pg_advisory_xact_lock(${SCHEMA_LOCK})`);
  await run(SCHEMA_TABLE);
  const [row] = await run('SELECT version, readable_by FROM queuegate_schema');
  const version = Number(row?.['version'] ?? 0);
  if (Number(row?.['readable_by'] ?? 0) > MIGRATIONS.length)
    throw postgresFault('store_schema_newer', { host, found: version, known: MIGRATIONS.length });
  if (version < MIGRATIONS.length) {
    await run(MIGRATIONS.slice(version).join('\n'));
    await run(`INSERT INTO queuegate_schema VALUES (1, ${MIGRATIONS.length}, ${OLDEST_READER})
      ON CONFLICT ("only") DO UPDATE SET version = excluded.version, readable_by = excluded.readable_by`);
  }
}

type Run = (sql: string) => Promise<readonly Readonly<Record<string, unknown>>[]>;

/** The oldest schema whose version can work with this one: steps are additive. */
const OLDEST_READER = 1;

/** A process of this name that is silent is followed after NODE_DEAD_MS; one that is heard of meanwhile keeps it. */
async function join(connection: Connected, node: NodeSettings, host: string): Promise<number> {
  const run = runner(connection, host);
  const boot = randomUUID();
  const values = [node.name, boot, node.version, node.address] as const;
  const begun = performance.now();
  let seen: number | undefined;
  for (;;) {
    const [row] = await run('SELECT join_node($1, $2, $3, $4, $5) AS generation', [...values, NODE_DEAD_MS]);
    const generation = row?.['generation'];
    if (typeof generation === 'number') return generation;
    const [other] = await run('SELECT started_at, last_seen_at FROM node WHERE name = $1', [node.name]);
    const lastSeen = Number(other?.['last_seen_at'] ?? 0);
    if ((seen !== undefined && lastSeen > seen) || performance.now() - begun > 2 * NODE_DEAD_MS)
      throw postgresFault('node_taken', {
        name: node.name,
        since: new Date(Number(other?.['started_at'] ?? 0)).toISOString(),
        seconds: NODE_DEAD_MS / 1000,
      });
    seen = lastSeen;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

function runner(connection: Connected, host: string) {
  return async (
    sql: string,
    values: readonly (number | string | null)[] = [],
  ): Promise<Extract<Reply, { kind: 'rows' }>['rows']> => {
    const reply = await connection.query(sql, values, STEP_MS);
    if (reply.kind === 'rows') return reply.rows;
    throw postgresFault('store_unreachable', { host, found: reply.found });
  };
}

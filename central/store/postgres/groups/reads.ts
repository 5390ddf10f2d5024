// What the sessions of many agents ask for at once, read in few statements for all of them.
import { integer, text, textOrNull } from '../../../../shared/sqlite/row.ts';
import type { AgentRecord } from '../../agent-store.ts';
import { agentRecord } from '../../sql/rows/agents/agent-reads.ts';
import type { BlockingConnection } from '../connection/blocking-connection.ts';

/** As OutboxStore.read has it. */
interface CommandsRead {
  readonly agentId: string;
  readonly after: number;
}

const UP_TO_DATE = `SELECT one.id, one.after FROM unnest($1::text[], $2::bigint[]) AS one (id, after)
  JOIN agent ON agent.id = one.id JOIN outbox_log ON outbox_log.peer = agent.key WHERE outbox_log.next <= one.after + 1`;
const AGENTS = 'SELECT whole_agent.* FROM whole_agent WHERE id = ANY($1::text[])';
const TRUST = 'SELECT id, trusted FROM agent WHERE id = ANY($1::text[])';

export function groupReads(connection: BlockingConnection) {
  return {
    /** Whether no command is behind the place; false: it has to be read. */
    areUpToDate(reads: readonly CommandsRead[]): boolean[] {
      const { rows } = connection.query(UP_TO_DATE, [
        reads.map(({ agentId }) => agentId),
        reads.map(({ after }) => after),
      ]);
      const known = new Set(rows.map((row) => `${integer(row, 'after')} ${text(row, 'id')}`));
      return reads.map(({ agentId, after }) => known.has(`${after} ${agentId}`));
    },

    getAgents(ids: readonly string[]): (AgentRecord | undefined)[] {
      const rows = connection.query(AGENTS, [[...new Set(ids)]]).rows.map((row) => [text(row, 'id'), row] as const);
      const agents = new Map(rows.map(([id, row]) => [id, agentRecord(row)]));
      return ids.map((id) => agents.get(id));
    },

    /** As CertificateStore.trustOf has it. */
    trustOfMany(ids: readonly string[]): (string[] | null)[] {
      const { rows } = connection.query(TRUST, [[...new Set(ids)]]);
      const trusted = new Map(rows.map((row) => [text(row, 'id'), textOrNull(row, 'trusted')]));
      return ids.map((id) => {
        const thumbprints = trusted.get(id) ?? null;
        // Written by recordTrust only.
        return thumbprints === null ? null : (JSON.parse(thumbprints) as string[]);
      });
    },
  };
}

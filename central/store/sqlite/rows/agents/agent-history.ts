// Reads the last changes of state of an agent; triggers of the schema write them.
import type { DatabaseSync } from 'node:sqlite';
import { integer, text } from '../../../../../shared/sqlite/row.ts';
import type { AgentState, AgentStateChange } from '../../../agent-store.ts';

export function agentHistoryReads(database: DatabaseSync) {
  const select = database.prepare(`
    SELECT at, agent_history.state, reason FROM agent_history JOIN agent ON agent.key = agent_history.agent
      WHERE agent.id = ? ORDER BY agent_history.key DESC`);
  return {
    agentHistory: (agentId: string): AgentStateChange[] =>
      select.all(agentId).map((row) => ({
        at: integer(row, 'at'),
        // Written from an AgentState only.
        state: text(row, 'state') as AgentState,
        reason: text(row, 'reason'),
      })),
  };
}

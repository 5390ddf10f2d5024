// Reads the last changes of state of an agent; triggers of the schema write them.
import type { SqlDatabase } from '../../../../../shared/sqlite/sql.ts';
import { integer, integerOrNull, text } from '../../../../../shared/sqlite/row.ts';
import type { AgentState, AgentStateChange } from '../../../agent-store.ts';

/** When a state ends by itself; of states that do. In the history, of quarantines too. */
export const STATE_DEADLINES = `
  ALTER TABLE agent ADD COLUMN state_until INTEGER;
  ALTER TABLE agent_history ADD COLUMN until INTEGER;
  CREATE TRIGGER deadline_of_history AFTER INSERT ON agent_history BEGIN
    UPDATE agent_history SET until = (SELECT CASE
        WHEN state = 'quarantined' THEN quarantined_until
        WHEN state IN ('draining', 'throttled') THEN state_until
      END FROM agent WHERE agent.key = NEW.agent) WHERE key = NEW.key;
  END;
`;

export function agentHistoryReads(database: SqlDatabase) {
  const select = database.prepare(`
    SELECT at, agent_history.state, reason, until FROM agent_history JOIN agent ON agent.key = agent_history.agent
      WHERE agent.id = ? ORDER BY agent_history.key DESC`);
  return {
    agentHistory: (agentId: string): AgentStateChange[] =>
      select.all(agentId).map((row) => ({
        at: integer(row, 'at'),
        // Written from an AgentState only.
        state: text(row, 'state') as AgentState,
        reason: text(row, 'reason'),
        until: integerOrNull(row, 'until'),
      })),
  };
}

// Writes what administrators decide about an agent: its name, labels and notes, and whether it is disabled.
import type { SqlDatabase } from '../../../../../shared/sqlite/sql.ts';
import { integer, text } from '../../../../../shared/sqlite/row.ts';
import type { AgentChange, AgentStore, ChangedAgent } from '../../../agent-store.ts';
import { MAX_LABELS, mergedLabels } from '../../../agents/labels.ts';
import { storeFault } from '../../../errors.ts';
import type { tokenWrites } from '../tokens.ts';
import { agentNameRules } from './agent-names.ts';
import { agentRecord, findById } from './agent-reads.ts';

interface AgentChangeNeeds {
  readonly tokens: Pick<ReturnType<typeof tokenWrites>, 'isBound'>;
  readonly namesOfCentral: ReadonlySet<string>;
}

export function agentChanges(database: SqlDatabase, needs: AgentChangeNeeds) {
  const names = agentNameRules(database, needs);
  const find = findById(database);
  const update = database.prepare(
    'UPDATE agent SET name = ?, name_set = ?, labels = ?, notes = ?, version = version + 1, changed_by = ? WHERE key = ?',
  );
  // The epoch grows, so that an open session can write nothing any more.
  const disable = database.prepare(`
    UPDATE agent SET state = 'disabled', state_since = ?1, state_reason = ?2, epoch = epoch + 1, quarantined_until = NULL,
      session_ended_at = iif(session IS NULL, NULL, coalesce(session_ended_at, ?1)) WHERE key = ?3`);
  const enable = database.prepare(`
    UPDATE agent SET state = iif(session IS NULL, 'enrolled', 'disconnected'), state_since = ?1, state_reason = ?2
      WHERE key = ?3`);

  return {
    changeAgent(agentId: string, change: AgentChange, terms: Parameters<AgentStore['change']>[2]): ChangedAgent {
      const row = find(agentId);
      const before = agentRecord(row);
      if (terms.version !== null && terms.version !== before.version)
        throw storeFault('version_conflict', {
          subject: `the agent ${agentId}`,
          found: before.version,
          expected: terms.version,
        });
      const name = change.name ?? before.name;
      // An agent keeps its current name, even one from before there were rules.
      if (name.toLowerCase() !== before.name.toLowerCase()) names.assertNameFree(name, agentId, null, terms.now);
      const isNameSet = change.name === undefined ? before.isNameSet : change.name !== null;
      const labels = change.labels === null ? {} : mergedLabels(before.labels, change.labels ?? {});
      const count = Object.keys(labels).length;
      if (count > MAX_LABELS) throw storeFault('agent_labels_full', { id: agentId, found: count, most: MAX_LABELS });
      const notes = change.notes ?? before.notes;
      update.run(name, Number(isNameSet), JSON.stringify(labels), notes, terms.by, integer(row, 'key'));
      return { ...agentRecord(find(agentId)), labelsBefore: before.labels };
    },

    disableAgent(agentId: string, now: number, why: string): number {
      const row = find(agentId);
      const state = text(row, 'state');
      if (state === 'revoked') throw storeFault('agent_revoked', { id: agentId });
      const epoch = integer(row, 'epoch');
      if (state === 'disabled') return epoch;
      disable.run(now, why, integer(row, 'key'));
      return epoch + 1;
    },

    enableAgent(agentId: string, now: number, why: string): void {
      const row = find(agentId);
      const state = text(row, 'state');
      if (state === 'revoked') throw storeFault('agent_revoked', { id: agentId });
      if (state === 'disabled') enable.run(now, why, integer(row, 'key'));
    },
  };
}

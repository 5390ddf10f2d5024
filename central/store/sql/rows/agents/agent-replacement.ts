// Writes the replacement of one agent by another one: the new one takes name, labels, notes, history and what waits;
// the old one is gone.
import type { SqlDatabase } from '../../../../../shared/sqlite/sql.ts';
import type { OutboxLog } from '../../../../../shared/sqlite/logs/outbox-log.ts';
import { integer, text } from '../../../../../shared/sqlite/row.ts';
import type { ChangedAgent } from '../../../agent-store.ts';
import { storeFault } from '../../../errors.ts';
import { agentRecord, findById } from './agent-reads.ts';

interface ReplacementNeeds {
  readonly outbox: OutboxLog;
  readonly removeAgent: (id: string) => unknown;
}

export function agentReplacement(database: SqlDatabase, { outbox, removeAgent }: ReplacementNeeds) {
  const find = findById(database);
  const move = database.prepare('UPDATE agent_history SET agent = ? WHERE agent = ?');
  // What waits for the old one, the new one runs.
  const moveTasks = database.prepare('UPDATE task SET agent = ? WHERE agent = ?');
  const prune = database.prepare(`
    DELETE FROM agent_history WHERE agent = ?1 AND key <=
      (SELECT key FROM agent_history WHERE agent = ?1 ORDER BY key DESC LIMIT 1 OFFSET 50)`);
  const take = database.prepare(`
    UPDATE agent SET name = ?, name_set = 1, labels = ?, notes = ?, version = version + 1, changed_by = ? WHERE key = ?`);
  return {
    replaceAgent(
      oldId: string,
      newId: string,
      { by, now }: { readonly by: string; readonly now: number },
    ): ChangedAgent {
      if (oldId === newId) throw storeFault('agent_replaces_itself', { id: oldId });
      const [old, next] = [find(oldId), find(newId)];
      if (text(next, 'state') === 'revoked') throw storeFault('agent_revoked', { id: newId });
      const [from, to] = [integer(old, 'key'), integer(next, 'key')];
      outbox.adopt(to, from, now);
      move.run(to, from);
      moveTasks.run(to, from);
      prune.run(to);
      // Its name is free from here on.
      removeAgent(oldId);
      take.run(text(old, 'name'), text(old, 'labels'), text(old, 'notes'), by, to);
      return { ...agentRecord(find(newId)), labelsBefore: agentRecord(next).labels };
    },
  };
}

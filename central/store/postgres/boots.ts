// The boots of an agent that came and went within a minute, at whichever node: in its row, and only of agents that connect
// with more than one (agents/boot-history.ts).
import { integerOrNull, textOrNull } from '../../../shared/sqlite/row.ts';
import type { SqlDatabase } from '../../../shared/sqlite/sql.ts';
import { addBoot, historyOf, historyText, newHistory } from '../agents/boot-history.ts';

export function bootWrites(database: SqlDatabase) {
  const find = database.prepare('SELECT session_boot, session_since, boots FROM agent WHERE id = ?');
  const keep = database.prepare('UPDATE agent SET boots = ? WHERE id = ?');
  return {
    /** True: these are two running copies of one key; what is known of them is forgotten. */
    sawBoot(agentId: string, bootId: string, now: number): boolean {
      const row = find.get(agentId);
      const [last, since] =
        row === undefined ? [null, null] : [textOrNull(row, 'session_boot'), integerOrNull(row, 'session_since')];
      if (row === undefined || last === null || since === null) return false;
      const kept = textOrNull(row, 'boots');
      const history = kept === null ? newHistory(last, since) : historyOf(kept);
      // The last session may be newer: it began at once, since there was none of another boot within the period.
      if (since > (history.seen.get(history.current) ?? 0)) history.current = last;
      history.seen.set(last, Math.max(since, history.seen.get(last) ?? 0));
      const isClone = addBoot(history, bootId, now);
      keep.run(isClone ? null : historyText(history), agentId);
      return isClone;
    },
  };
}

// Counts agents by what administrators look for: state, transport, version and releases, of those that fit a filter.
import type { SqlDatabase } from '../../../../../shared/sqlite/sql.ts';
import { text, textOrNull } from '../../../../../shared/sqlite/row.ts';
import {
  AGENT_STATES,
  MAX_COUNTED,
  type AgentCounts,
  type AgentFilter,
  type AgentState,
  type SessionRecord,
} from '../../../agent-store.ts';
import { filterValues, fitsAll, FITS_FILTER, labelMatches, labelsOf, patternMatches } from './agent-reads.ts';

export function agentCounts(database: SqlDatabase) {
  // One pass, as lists with labels make it: ten thousand agents take some tens of milliseconds of the reading thread.
  const all = database.prepare(`
    SELECT name, state, labels, session_transport, session_version,
      (SELECT json_group_array(reported) FROM agent_release WHERE agent_release.agent = agent.key AND reported IS NOT NULL) AS reported
    FROM agent WHERE ${FITS_FILTER}`);
  const nameOf = database.prepare('SELECT name FROM release WHERE digest = ?');

  return {
    countAgents({ names, labels, ...columns }: AgentFilter): AgentCounts {
      const states = new Map<AgentState, number>(AGENT_STATES.map((state) => [state, 0]));
      const transports = new Map<SessionRecord['transport'], number>([
        ['ws', 0],
        ['wss', 0],
      ]);
      const [versions, releases] = [new Map<string, number>(), new Map<string, number>()];
      const groups = [patternMatches(names), labelMatches(labels)];
      const isFiltered = names !== undefined || labels !== undefined;
      let agents = 0;
      for (const row of all.iterate(...filterValues(columns))) {
        if (isFiltered && !fitsAll({ name: text(row, 'name'), labels: labelsOf(row) }, groups)) continue;
        agents += 1;
        // Written by agents.ts and agent-changes.ts only.
        add(states, text(row, 'state') as AgentState);
        add(transports, textOrNull(row, 'session_transport') as SessionRecord['transport'] | null);
        add(versions, textOrNull(row, 'session_version'));
        // Written by json_group_array above.
        for (const release of JSON.parse(text(row, 'reported')) as string[]) add(releases, release);
      }
      return {
        agents,
        states: Object.fromEntries(states) as AgentCounts['states'],
        transports: Object.fromEntries(transports) as AgentCounts['transports'],
        versions: mostFrequent(versions).map(([version, count]) => ({ version, agents: count })),
        releases: mostFrequent(releases).map(([release, count]) => {
          const row = nameOf.get(release);
          return { release, name: row === undefined ? null : text(row, 'name'), agents: count };
        }),
      };
    },
  };
}

function add<T>(counts: Map<T, number>, value: T | null): void {
  if (value !== null) counts.set(value, (counts.get(value) ?? 0) + 1);
}

function mostFrequent(counts: ReadonlyMap<string, number>): (readonly [string, number])[] {
  return [...counts]
    .toSorted(([one, first], [other, second]) => second - first || (one < other ? -1 : 1))
    .slice(0, MAX_COUNTED);
}

// What a list of agents is sorted by, and where an agent is in it: the cursor of a page names that place.

/** The id breaks ties. */
const AGENT_SORT_KEYS = ['name', 'state', 'lastSeenAt', 'queuedCount'] as const;
type AgentSortKey = (typeof AGENT_SORT_KEYS)[number];

/** The values of `sort`: `-` is the reverse order. */
export const AGENT_SORTS = [...AGENT_SORT_KEYS, ...AGENT_SORT_KEYS.map((key) => `-${key}` as const)] as const;

export interface AgentSort {
  readonly by: (typeof AGENT_SORTS)[number];
  /** The last agent of the page before. */
  readonly after?: AgentPlace;
}

export interface AgentPlace {
  readonly value: string | number;
  readonly id: string;
}

export function sortKeyOf(by: AgentSort['by']): { readonly key: AgentSortKey; readonly descending: boolean } {
  const key = AGENT_SORT_KEYS.find((name) => by === name || by === `-${name}`) ?? 'name';
  return { key, descending: by.startsWith('-') };
}

/** What of an agent's record it is sorted by. */
interface Sorted {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly session: { readonly endedAt: number | null } | null;
  readonly outbox: { readonly messages: number };
}

/** When an agent was last connected: now, while it is; null before its first session. */
export function lastSeenAt({ session }: Pick<Sorted, 'session'>, now: number): number | null {
  return session === null ? null : (session.endedAt ?? now);
}

/** An agent that is connected was seen later than all others, one that never was before all others. */
export function placeOf(agent: Sorted, by: AgentSort['by']): AgentPlace {
  const { id, name, state, outbox } = agent;
  const seenAt = lastSeenAt(agent, Number.MAX_SAFE_INTEGER) ?? -1;
  return { id, value: { name, state, lastSeenAt: seenAt, queuedCount: outbox.messages }[sortKeyOf(by).key] };
}

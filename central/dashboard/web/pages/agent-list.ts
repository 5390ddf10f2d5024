// Which agents the filters of the address select, and in which order.
import type { Agent } from '../client/types.ts';
import { stateFilter, urgency } from '../states.ts';

/** The terms of the address that select agents. */
export const FILTERS = ['q', 'label', 'transport', 'version', 'release'] as const;
export const SORTS = ['action', 'name', 'state', 'release', 'waiting', 'cert', 'seen'] as const;
export type Sort = (typeof SORTS)[number];

/** All terms but the state hold. */
export function fits(query: URLSearchParams): (agent: Agent) => boolean {
  const [text, label, transport, version, release] = FILTERS.map((name) => query.get(name) ?? '') as [
    string,
    string,
    string,
    string,
    string,
  ];
  const needle = text.toLowerCase();
  return (agent) =>
    (release === '' || agent.releases.some(({ digest }) => digest === release)) &&
    (transport === '' || agent.session?.transport === transport) &&
    (version === '' || agent.session?.version === version) &&
    (label === '' || labelsOf(agent).includes(label)) &&
    (needle === '' || textOf(agent).includes(needle));
}

/** The release of its profile, as people read it: "branch@3f9c21ab"; empty: none was reported. */
export function profileRelease({ releases }: Agent): string {
  const profile = releases.find(({ part }) => part === 'profile');
  return profile === undefined ? '' : releaseName(profile);
}

/** Without a name where Central does not have that release. */
export function releaseName({ digest, name }: { readonly digest: string; readonly name: string | null }): string {
  return `${name ?? ''}@${digest.slice(0, 8)}`;
}

export function fitsState(query: URLSearchParams): (agent: Agent) => boolean {
  const state = query.get('state') ?? '';
  if (state === '') return () => true;
  const has = stateFilter(state);
  return (agent) => has(agent.state);
}

export function labelsOf({ labels }: Agent): string[] {
  return Object.entries(labels).map(([key, value]) => `${key}=${value}`);
}

function textOf(agent: Agent): string {
  const { id, name, session, notes, stateReason } = agent;
  return `${name}\n${id}\n${session?.address ?? ''}\n${labelsOf(agent).join('\n')}\n${notes}\n${stateReason.detail}`.toLowerCase();
}

const names = new Intl.Collator('en', { numeric: true });

const timeOf = (at: string | null | undefined, none: number): number =>
  at === null || at === undefined ? none : Date.parse(at);

type Compare = (one: Agent, other: Agent) => number;

const COMPARE: Readonly<Record<Sort, Compare>> = {
  action: (one, other) => urgency(one.state) - urgency(other.state),
  state: (one, other) => urgency(one.state) - urgency(other.state),
  name: () => 0,
  // Those that reported none are the last ones.
  release: (one, other) => {
    const [first, second] = [profileRelease(one), profileRelease(other)];
    return Number(first === '') - Number(second === '') || names.compare(first, second);
  },
  waiting: (one, other) => other.logs.down.messageCount - one.logs.down.messageCount,
  cert: (one, other) =>
    timeOf(one.certificate?.notAfter, Number.MAX_SAFE_INTEGER) -
    timeOf(other.certificate?.notAfter, Number.MAX_SAFE_INTEGER),
  seen: (one, other) => timeOf(other.lastSeenAt, 0) - timeOf(one.lastSeenAt, 0),
};

export function sortOf(query: URLSearchParams): Sort {
  const found = SORTS.find((sort) => sort === query.get('sort'));
  return found ?? 'action';
}

/** The agents that fit, in their order. */
export function ordered(agents: Iterable<Agent>, query: URLSearchParams): Agent[] {
  const [has, hasState] = [fits(query), fitsState(query)];
  const compare = COMPARE[sortOf(query)];
  const turn = query.get('dir') === 'desc' ? -1 : 1;
  return [...agents]
    .filter((agent) => has(agent) && hasState(agent))
    .toSorted((one, other) => turn * (compare(one, other) || names.compare(one.name, other.name)));
}

/** What of an agent decides its place in the list: it stays there until the order is updated. */
export function placeOf(agent: Agent, sort: Sort): string {
  if (sort === 'waiting') return String(agent.logs.down.messageCount);
  return sort === 'release' ? profileRelease(agent) : agent.state;
}

// Scopes of API tokens: the agents that a token is for, by their labels, and the registry as such a token sees it. An
// agent outside of the scope is unknown there. Labels are those of the moment of each read.
import type { AgentRecord, AgentStore, SelectedAgent } from '../store/agent-store.ts';
import { MIN_ID_PREFIX } from '../store/agent-names.ts';
import { matchesAgent, type Labels, type LabelTerm } from '../store/agents/labels.ts';
import { parseLabelSelector } from './selectors.ts';

/** Room for several labels. It is kept with each token. */
export const MAX_SCOPE_LENGTH = 1_024;

export interface Scope {
  /** As it was written: `label:region=north,tier!=test`. */
  readonly text: string;
  /** All hold. */
  readonly terms: readonly LabelTerm[];
}

/** The scope in the member `scope` of a body. Errors: selector_invalid. */
export function parseScope(text: string): Scope {
  return { text, terms: parseLabelSelector(text, { pointer: '#/scope' }) };
}

export function isInScope({ terms }: Scope, { labels }: { readonly labels: Labels }): boolean {
  return matchesAgent({ kind: 'labels', terms }, { name: '', labels });
}

/**
 * True where each agent in `inner` is also in `outer` (null: all agents), as their terms say: whichever labels agents
 * have.
 */
export function isWithin(inner: Scope | null, outer: Scope | null): boolean {
  if (outer === null) return true;
  return inner !== null && outer.terms.every((wanted) => inner.terms.some((term) => implies(term, wanted)));
}

function implies(term: LabelTerm, wanted: LabelTerm): boolean {
  if (term.key !== wanted.key) return false;
  if (term.operator === wanted.operator) return term.value === wanted.value;
  return term.operator === '=' && term.value !== wanted.value;
}

/** True where a token with this scope may see what a token with the scope `text` has made: a drain, or a rollout. */
export function isVisible(scope: Scope | null, { scope: text }: { readonly scope: string | null }): boolean {
  return scope === null || isWithin(text === null ? null : parseScope(text), scope);
}

/** True where an agent in the scope stays in it with this change of its labels (null: all of them are deleted). */
export function keepsScope({ terms }: Scope, change: Readonly<Record<string, string | null>> | null): boolean {
  const touched = terms.filter(({ key }) => change === null || Object.hasOwn(change, key));
  const after = Object.entries(change ?? {}).filter((entry): entry is [string, string] => entry[1] !== null);
  return matchesAgent({ kind: 'labels', terms: touched }, { name: '', labels: Object.fromEntries(after) });
}

type Reads = Pick<AgentStore, 'count' | 'findByReference' | 'hasLeftRecords' | 'labelsOf' | 'list' | 'select'>;

/** The reads of the registry that find agents, within a scope. */
export function readsWithin(agents: Reads, scope: Scope): Reads {
  const inScope = (agent: Pick<AgentRecord, 'labels'>): boolean => isInScope(scope, agent);
  const all = (): Promise<SelectedAgent[]> => agents.select([{ kind: 'all' }], scope.terms);

  /** What `findByReference` would find if there were no other agents. */
  async function findByReference(reference: string, limit: number): Promise<AgentRecord[]> {
    const [found, ...others] = await agents.findByReference(reference, 2);
    const isExact = found?.id === reference || found?.name.toLowerCase() === reference.toLowerCase();
    if (found !== undefined && inScope(found) && (isExact || others.length === 0)) return [found];
    if (found === undefined || reference.length < MIN_ID_PREFIX) return [];
    const prefix = reference.toLowerCase();
    const ids = (await all()).map(({ id }) => id).filter((id) => id.toLowerCase().startsWith(prefix));
    const records = await Promise.all(
      ids
        .toSorted((one, other) => (one.toLowerCase() < other.toLowerCase() ? -1 : 1))
        .slice(0, limit)
        .map((id) => agents.findByReference(id, 1)),
    );
    return records.flat().filter(inScope);
  }

  const within = (labels: readonly (readonly LabelTerm[])[] = [[]]) =>
    labels.map((terms) => [...terms, ...scope.terms]);

  return {
    count: ({ labels, ...filter }) => agents.count({ ...filter, labels: within(labels) }),
    findByReference,
    // A deleted agent has no labels.
    hasLeftRecords: async () => false,
    labelsOf: async (ids) => (await agents.labelsOf(ids)).filter(([, labels]) => isInScope(scope, { labels })),
    list: ({ labels, ...page }) => agents.list({ ...page, labels: within(labels) }),
    select: (matches) => agents.select(matches, scope.terms),
  };
}

// The registry of agents, as the administration reads it.
import type {
  AgentCounts,
  AgentFilter,
  AgentRecord,
  AgentStateChange,
  AgentStore,
  ConsumerReport,
  Incident,
  Keyed,
  NewestFirstPage,
  SelectedAgent,
} from '../store/agent-store.ts';
import type { Labels, LabelTerm } from '../store/agents/labels.ts';
import { LabeledIds } from '../store/memory/labeled-ids.ts';
import { findAgent, findAgentId } from './lookup.ts';
import { readsWithin, type Scope } from './scope.ts';
import { parseSelectors, resolveSelectors } from './selectors.ts';

type DirectoryStore = Pick<
  AgentStore,
  | 'consumersOf'
  | 'count'
  | 'findByReference'
  | 'hasLeftRecords'
  | 'history'
  | 'incidents'
  | 'labelsOf'
  | 'list'
  | 'select'
  | 'selectIds'
>;
type Reads = Pick<DirectoryStore, 'count' | 'findByReference' | 'hasLeftRecords' | 'labelsOf' | 'list' | 'select'>;

/** The registry without a scope; what REST answers is read within the scope of the token (`within`). */

export class AgentDirectory {
  readonly #store: DirectoryStore;
  readonly #agents: Reads;
  readonly #scope: Scope | null;
  readonly #labeled: LabeledIds;

  constructor(store: DirectoryStore, scope: Scope | null = null, labeled: LabeledIds = new LabeledIds(store)) {
    this.#store = store;
    this.#agents = scope === null ? store : readsWithin(store, scope);
    this.#scope = scope;
    this.#labeled = labeled;
  }

  /** The registry as a token with this scope sees it; null: all of it. */
  within(scope: Scope | null): AgentDirectory {
    return new AgentDirectory(this.#store, scope, this.#labeled);
  }

  /** Those of these records whose agents are here: of a scope, none of deleted agents, and none without an agent. */
  async fitting<T>(records: readonly T[], agentIdOf: (record: T) => string | null): Promise<readonly T[]> {
    if (this.#scope === null || records.length === 0) return records;
    const ids = new Set(records.map(agentIdOf).filter((id) => id !== null));
    const here = new Set((await this.#agents.labelsOf([...ids])).map(([id]) => id));
    return records.filter((record) => here.has(agentIdOf(record) ?? ''));
  }

  /** The agent of a reference. Errors: agent_unknown, agent_ambiguous. */
  find(reference: string): Promise<AgentRecord> {
    return findAgent(this.#agents, reference);
  }

  /** The same, for a filter: a deleted agent is found by its whole id. Errors: agent_unknown, agent_ambiguous. */
  findId(reference: string): Promise<string> {
    return findAgentId(this.#agents, reference);
  }

  /** The agents that selectors mean now, in order of name. Errors: those of parseSelectors and resolveSelectors. */
  async select(selectors: readonly string[]): Promise<SelectedAgent[]> {
    return await resolveSelectors(this.#agents, parseSelectors(selectors));
  }

  /** The ids of the agents for which all terms of one of these filters hold, or held some seconds ago. */
  idsWith(labels: readonly (readonly LabelTerm[])[]): Promise<ReadonlySet<string>> {
    const scope = this.#scope?.terms ?? [];
    return this.#labeled.find(labels.map((terms) => [...scope, ...terms]));
  }

  /** The labels of those of these agents that exist here. */
  async labelsOf(ids: readonly string[]): Promise<ReadonlyMap<string, Labels>> {
    return new Map(await this.#agents.labelsOf(ids));
  }

  /** What the agent reported of its consumers, last; undefined: nothing yet. */
  consumersOf(agentId: string): Promise<ConsumerReport | undefined> {
    return this.#store.consumersOf(agentId);
  }

  /** The last changes of its state, newest first. */
  history(agentId: string): Promise<AgentStateChange[]> {
    return this.#store.history(agentId);
  }

  count(filter: AgentFilter): Promise<AgentCounts> {
    return this.#agents.count(filter);
  }

  list(page: Parameters<AgentStore['list']>[0]): Promise<AgentRecord[]> {
    return this.#agents.list(page);
  }

  /** Of all agents: pass them through `fitting`. */
  incidents(page: NewestFirstPage): Promise<Keyed<Incident>[]> {
    return this.#store.incidents(page);
  }
}

// The registry of agents, as the administration reads it.
import type {
  AgentRecord,
  AgentStateChange,
  AgentStore,
  ConsumerReport,
  Incident,
  Keyed,
  NewestFirstPage,
  SelectedAgent,
} from '../store/agent-store.ts';
import type { LabelTerm } from '../store/agents/labels.ts';
import { findAgent, findAgentId } from './lookup.ts';
import { parseSelectors, resolveSelectors } from './selectors.ts';

type DirectoryStore = Pick<
  AgentStore,
  'consumersOf' | 'findByReference' | 'hasLeftRecords' | 'history' | 'incidents' | 'list' | 'select'
>;

export class AgentDirectory {
  readonly #agents: DirectoryStore;

  constructor(agents: DirectoryStore) {
    this.#agents = agents;
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

  /** The ids of the agents for which all terms of one of these filters hold now. */
  async idsWith(labels: readonly (readonly LabelTerm[])[]): Promise<ReadonlySet<string>> {
    const found = await this.#agents.select(labels.map((terms) => ({ kind: 'labels', terms })));
    return new Set(found.map(({ id }) => id));
  }

  /** What the agent reported of its consumers, last; undefined: nothing yet. */
  consumersOf(agentId: string): Promise<ConsumerReport | undefined> {
    return this.#agents.consumersOf(agentId);
  }

  /** The last changes of its state, newest first. */
  history(agentId: string): Promise<AgentStateChange[]> {
    return this.#agents.history(agentId);
  }

  list(page: Parameters<AgentStore['list']>[0]): Promise<AgentRecord[]> {
    return this.#agents.list(page);
  }

  incidents(page: NewestFirstPage): Promise<Keyed<Incident>[]> {
    return this.#agents.incidents(page);
  }
}

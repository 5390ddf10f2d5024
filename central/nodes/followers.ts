// Applies what other nodes changed to what this node keeps in memory. Each change is a hint: what it is now is read from
// the store.
import type { AgentRecord } from '../store/agent-store.ts';
import type { SharedChange, SharedSubject } from '../store/nodes/node-store.ts';
import { refusal } from '../../shared/wire/refusals.ts';
import type { Session } from '../sessions/session.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { ResourceChanges, WatchedCollection } from '../watching/resource-changes.ts';
import type { Follower } from './node-service.ts';

/** Agents whose change is remembered for a session that is opening while it arrives. */
const MAX_RECENT = 20_000;

/** What is read again, or hears what others told; no changes: some were missed. */
type Part = (changes: readonly SharedChange[]) => Promise<void>;

interface FollowersNeeds {
  readonly agents: { get(id: string): Promise<AgentRecord | undefined> };
  readonly sessions: Pick<
    Sessions,
    'disable' | 'each' | 'identityReplaced' | 'notify' | 'of' | 'remove' | 'rename' | 'revoke'
  >;
  readonly resourceChanges: Pick<ResourceChanges, 'note'>;
  /** A revocation is to be on the lists. */
  readonly revocationLists: { touch(): void };
  readonly parts: Partial<Readonly<Record<SharedSubject, Part>>>;
  readonly now: () => number;
}

const WATCHED: Partial<Readonly<Record<SharedSubject, WatchedCollection>>> = {
  agents: 'agents',
  parameters: 'parameters',
  rollouts: 'rollouts',
  tasks: 'tasks',
};

export class Followers implements Follower {
  readonly #needs: FollowersNeeds;
  /** Ids of agents that other nodes changed, the newest last. */
  readonly #recent = new Set<string>();

  constructor(needs: FollowersNeeds) {
    this.#needs = needs;
  }

  async apply(changes: readonly SharedChange[]): Promise<void> {
    const subjects = new Set(changes.map(({ subject }) => subject));
    // Sessions first: one that may not go on ends before anything is read that takes long.
    const agents = new Set<string>();
    for (const { subject, id, isDeleted } of changes) {
      if (subject === 'commands') this.#needs.sessions.notify(id);
      if (subject !== 'agents') continue;
      if (isDeleted) this.#remove(id);
      else agents.add(id);
    }
    for (const id of agents) {
      this.#remember(id);
      await this.#followAgent(id);
    }
    // What a node tells of sessions may follow from what it changed.
    if (subjects.delete('session-notes')) subjects.add('session-notes');
    for (const subject of subjects)
      await this.#needs.parts[subject]?.(changes.filter((change) => change.subject === subject));
    // Who watches may read what is noted, also what is kept here.
    for (const change of changes) this.#note(change);
  }

  async applyAll(): Promise<void> {
    const ids: string[] = [];
    this.#needs.sessions.each(({ facts }) => ids.push(facts.agentId));
    for (const id of ids) {
      await this.#followAgent(id);
      this.#needs.sessions.notify(id);
    }
    for (const part of new Set(Object.values(this.#needs.parts))) await part([]);
  }

  /** A session opened: what another node did to the agent may have arrived while it was opening. */
  onOpened({ facts }: { readonly facts: Pick<Session['facts'], 'agentId'> }): void {
    if (!this.#recent.has(facts.agentId)) return;
    // It is looked at again with the next change; a store that is away fences the session by itself.
    this.#followAgent(facts.agentId).catch(() => undefined);
  }

  #remember(id: string): void {
    this.#recent.delete(id);
    this.#recent.add(id);
    if (this.#recent.size <= MAX_RECENT) return;
    for (const oldest of this.#recent) return void this.#recent.delete(oldest);
  }

  #note({ subject, id, isDeleted, labelsBefore }: SharedChange): void {
    const collection = WATCHED[subject];
    if (collection === undefined || id === '') return;
    this.#needs.resourceChanges.note(collection, id, { isDeleted, ...(labelsBefore === null ? {} : { labelsBefore }) });
  }

  #remove(id: string): void {
    this.#remember(id);
    this.#needs.sessions.remove(id);
    this.#needs.revocationLists.touch();
  }

  async #followAgent(id: string): Promise<void> {
    const { sessions, agents, revocationLists } = this.#needs;
    if (sessions.of(id) === undefined) return;
    const agent = await agents.get(id);
    const session = sessions.of(id);
    if (session === undefined) return;
    if (agent === undefined) return this.#remove(id);
    if (agent.state === 'revoked') revocationLists.touch();
    if (agent.epoch > session.facts.epoch) return this.#end(session, agent);
    if (agent.epoch < session.facts.epoch) return;
    sessions.rename(id, agent.name);
    const { quarantinedUntil } = agent;
    const seconds = Math.ceil(((quarantinedUntil ?? 0) - this.#needs.now()) / 1000);
    if (seconds > 0) session.end(refusal('quarantined', { seconds }), { retryAfterSeconds: seconds });
  }

  /** Its epoch is over: by an act of an administrator, or by a newer session at another node. */
  #end(session: Session, { id, state, epoch, revocation, session: newest }: AgentRecord): void {
    const { sessions } = this.#needs;
    if (state === 'revoked') return sessions.revoke(id, epoch, revocation?.reason ?? 'unspecified');
    if (state === 'disabled') return sessions.disable(id, epoch);
    if (newest?.session === session.facts.sessionId) return sessions.identityReplaced(id);
    session.end(refusal('superseded', {}));
  }
}

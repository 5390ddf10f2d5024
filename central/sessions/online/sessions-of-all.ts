// The sessions of agents, whichever node has them: where some of them are, and the request that they reconnect. A node knows
// its own sessions; those of the others it reads from the store when they change, and all nodes hear what they shall do.
import { textOf } from '../../../shared/errors.ts';
import type { AgentRecord, AgentStore } from '../../store/agent-store.ts';
import type { NodeRecord, SharedChange } from '../../store/nodes/node-store.ts';
import type { NoteQueue } from '../../store/nodes/note-queue.ts';
import type { Sessions } from '../sessions.ts';

const PAGE = 1_000;
const AGENTS_PER_NOTE = 200;

/** The session of an agent. */
interface AgentEpoch {
  readonly agentId: string;
  readonly epoch: number;
}

/** What a node tells the others to do with their sessions. */
type Told =
  | {
      readonly kind: 'reconnect';
      readonly retryAfterSeconds: number;
      readonly sessions: readonly (readonly [agentId: string, epoch: number])[];
    }
  | { readonly kind: 'reconnect-over-tls'; readonly spreadSeconds: number };

interface SessionsOfAllNeeds {
  readonly sessions: Pick<Sessions, 'of' | 'reconnect' | 'requestReconnect' | 'size'>;
  readonly agents: Pick<AgentStore, 'get' | 'list'>;
  readonly nodes: { readonly self: string; list(): readonly NodeRecord[] };
  readonly notes: Pick<NoteQueue, 'add' | 'isOpen'>;
  readonly log: { warn(facts: object, text: string): void };
}

/** An agent that is followed, as the store had it last. */
interface Followed {
  /** How often. */
  count: number;
  epoch: number;
  /** That has its open session; null: none, or this one. */
  node: string | null;
}

export class SessionsOfAll {
  readonly #needs: SessionsOfAllNeeds;
  readonly #followed = new Map<string, Followed>();
  /** What is read later is newer: one reading after the other. */
  #reading: Promise<void> = Promise.resolve();
  #nodes: readonly NodeRecord[] = [];
  #others: ReadonlySet<string> = new Set();

  constructor(needs: SessionsOfAllNeeds) {
    this.#needs = needs;
  }

  /** When it resolves, and until `unfollow`, it is known whether these agents have sessions at other nodes. */
  async follow(agentIds: readonly string[]): Promise<void> {
    if (!this.#needs.notes.isOpen) return;
    for (const id of agentIds) {
      const followed = this.#followed.get(id) ?? { count: 0, epoch: 0, node: null };
      followed.count += 1;
      this.#followed.set(id, followed);
    }
    try {
      await this.#inTurn(() => this.#readAll());
    } catch (error) {
      this.unfollow(agentIds);
      throw error;
    }
  }

  unfollow(agentIds: readonly string[]): void {
    for (const id of agentIds) {
      const followed = this.#followed.get(id);
      if (followed === undefined) continue;
      followed.count -= 1;
      if (followed.count === 0) this.#followed.delete(id);
    }
  }

  /** Of the open session of an agent: at this node, or of one that is followed. */
  epochOf(agentId: string): number | undefined {
    const here = this.#needs.sessions.of(agentId)?.facts.epoch;
    const { epoch, node } = this.#followed.get(agentId) ?? { epoch: 0, node: null };
    if (node === null || epoch < (here ?? 0) || !this.#otherNodes().has(node)) return here;
    return epoch;
  }

  /** Open sessions at all nodes: those of others as they last said. */
  count(): number {
    const others = this.#otherNodes();
    const elsewhere = this.#nodes.reduce((sum, { name, sessions }) => (others.has(name) ? sum + sessions : sum), 0);
    return this.#needs.sessions.size + elsewhere;
  }

  /** Asks agents to reconnect: ends the sessions of these epochs, and no newer ones. */
  reconnect(ended: readonly AgentEpoch[], retryAfterSeconds: number): void {
    const { sessions } = this.#needs;
    const elsewhere: (readonly [string, number])[] = [];
    for (const { agentId, epoch } of ended) {
      if (sessions.of(agentId)?.facts.epoch === epoch) sessions.reconnect(agentId, epoch, retryAfterSeconds);
      else if (this.epochOf(agentId) === epoch) elsewhere.push([agentId, epoch]);
    }
    for (let at = 0; at < elsewhere.length; at += AGENTS_PER_NOTE)
      this.#tell({ kind: 'reconnect', retryAfterSeconds, sessions: elsewhere.slice(at, at + AGENTS_PER_NOTE) });
  }

  /** Asks all agents over TLS to reconnect, spread over a time. */
  reconnectOverTls(spreadSeconds: number): void {
    this.#needs.sessions.requestReconnect(({ transport }) => transport === 'wss', spreadSeconds);
    this.#tell({ kind: 'reconnect-over-tls', spreadSeconds });
  }

  /** Other nodes changed agents; no changes: some were missed. */
  async followAgents(changes: readonly SharedChange[]): Promise<void> {
    if (this.#followed.size === 0) return;
    const ids = new Set(changes.flatMap(({ id }) => (this.#followed.has(id) ? [id] : [])));
    if (changes.length === 0) return await this.#inTurn(() => this.#readAll());
    if (ids.size > 0) await this.#inTurn(() => this.#read(ids));
  }

  /** Other nodes told something of sessions. */
  async hear(changes: readonly SharedChange[]): Promise<void> {
    for (const { body } of changes) {
      if (body === undefined) continue;
      // Written by `#tell` of another node.
      const told = JSON.parse(body) as Told;
      const { sessions } = this.#needs;
      if (told.kind === 'reconnect')
        for (const [agentId, epoch] of told.sessions) sessions.reconnect(agentId, epoch, told.retryAfterSeconds);
      else if (told.kind === 'reconnect-over-tls')
        sessions.requestReconnect(({ transport }) => transport === 'wss', told.spreadSeconds);
    }
  }

  #tell(told: Told): void {
    this.#needs.notes.add('session-notes', '', told);
  }

  #otherNodes(): ReadonlySet<string> {
    const { nodes } = this.#needs;
    const list = nodes.list();
    if (list !== this.#nodes) {
      this.#nodes = list;
      this.#others = new Set(
        list.flatMap(({ name, state }) => (name !== nodes.self && state === 'alive' ? [name] : [])),
      );
    }
    return this.#others;
  }

  async #inTurn(read: () => Promise<void>): Promise<void> {
    const reading = this.#reading.then(read);
    this.#reading = reading.catch((error: unknown) =>
      this.#needs.log.warn({ error: textOf(error) }, 'the sessions of other nodes could not be read'),
    );
    await reading;
  }

  async #read(ids: Iterable<string>): Promise<void> {
    for (const id of ids) {
      const agent = this.#followed.has(id) ? await this.#needs.agents.get(id) : undefined;
      const followed = this.#followed.get(id);
      if (followed === undefined) continue;
      if (agent === undefined) followed.node = null;
      else this.#keep(followed, agent);
    }
  }

  async #readAll(): Promise<void> {
    if (this.#otherNodes().size === 0) return;
    const found = new Set<string>();
    for (let after: string | undefined; ;) {
      const page = await this.#needs.agents.list({
        limit: PAGE,
        states: ['online', 'degraded'],
        ...(after === undefined ? {} : { after }),
      });
      for (const agent of page) {
        const followed = this.#followed.get(agent.id);
        if (followed === undefined) continue;
        found.add(agent.id);
        this.#keep(followed, agent);
      }
      after = page.at(-1)?.name;
      if (after === undefined) break;
    }
    for (const [id, followed] of this.#followed) if (!found.has(id)) followed.node = null;
  }

  #keep(followed: Followed, { epoch, session }: AgentRecord): void {
    const isOpen = session !== null && session.endedAt === null;
    followed.epoch = epoch;
    followed.node = isOpen && session.node !== this.#needs.nodes.self ? session.node : null;
  }
}

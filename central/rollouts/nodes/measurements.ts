// What agents measured of their releases, and the request that they do, whichever node has their session: it has them in
// memory. Where that is another node, it gets the question through the store, and answers in the same way.
import { randomUUID } from 'node:crypto';
import { isCoded } from '../../../shared/errors.ts';
import type { Sessions } from '../../sessions/sessions.ts';
import type { AgentStore } from '../../store/agent-store.ts';
import type { NodeRecord, SharedChange } from '../../store/nodes/node-store.ts';
import type { NoteQueue } from '../../store/nodes/note-queue.ts';
import type { RolloutEngine } from '../engine.ts';
import { rolloutFault } from '../errors.ts';
import type { DriftByPart } from '../reported-releases.ts';

/** Beats come twice a second. */
const ANSWER_MS = 4_000;
/** Questions of this node that wait for their answer. */
const MAX_ASKED = 100;

interface Agent {
  readonly id: string;
  readonly name: string;
}

/** What nodes tell each other. */
type Told =
  | {
      readonly kind: 'asked';
      readonly id: string;
      readonly of: string;
      readonly what: 'drift' | 'measure';
      readonly agent: Agent;
    }
  | { readonly kind: 'answered'; readonly id: string; readonly drift: DriftByPart }
  | { readonly kind: 'refused'; readonly id: string; readonly version: string };

type Answer = Exclude<Told, { readonly kind: 'asked' }>;

interface MeasurementsNeeds {
  readonly engine: Pick<RolloutEngine, 'driftOf' | 'requestMeasurement'>;
  readonly sessions: Pick<Sessions, 'of'>;
  readonly agents: Pick<AgentStore, 'get'>;
  readonly notes: Pick<NoteQueue, 'add' | 'isOpen'>;
  readonly nodes: { readonly self: string; list(): readonly NodeRecord[]; hurry(ms: number): void };
  /** Runs once after so many milliseconds; the answer cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
}

export class Measurements {
  readonly #needs: MeasurementsNeeds;
  readonly #asked = new Map<string, (answer: Answer | undefined) => void>();

  constructor(needs: MeasurementsNeeds) {
    this.#needs = needs;
  }

  /** Makes the agent measure the releases that it runs. Errors: agent_offline, agent_cannot_measure. */
  async request(agent: Agent): Promise<void> {
    const node = await this.#nodeOf(agent.id);
    if (node === undefined) return this.#needs.engine.requestMeasurement(agent);
    const answer = await this.#ask(node, 'measure', agent);
    if (answer === undefined) throw rolloutFault('agent_offline', { agent: agent.name });
    if (answer.kind === 'answered') return;
    const { version } = answer;
    if (version === '') throw rolloutFault('agent_offline', { agent: agent.name });
    throw rolloutFault('agent_cannot_measure', { agent: agent.name, version });
  }

  /** What the agent measured of the releases that it runs; nothing where its node does not answer. */
  async driftOf(agent: Agent): Promise<DriftByPart> {
    const node = await this.#nodeOf(agent.id);
    if (node === undefined) return this.#needs.engine.driftOf(agent.id);
    const answer = await this.#ask(node, 'drift', agent);
    return answer?.kind === 'answered' ? answer.drift : {};
  }

  /** What other nodes told: a question to this node, or an answer. */
  async follow(changes: readonly SharedChange[]): Promise<void> {
    for (const { body } of changes) {
      if (body === undefined) continue;
      // Written by `#tell` of another node.
      const told = JSON.parse(body) as Told;
      if (told.kind !== 'asked') this.#asked.get(told.id)?.(told);
      else if (told.of === this.#needs.nodes.self) this.#tell(this.#answer(told));
    }
  }

  #answer({ id, what, agent }: Extract<Told, { readonly kind: 'asked' }>): Answer {
    const { engine } = this.#needs;
    if (what === 'drift') return { kind: 'answered', id, drift: engine.driftOf(agent.id) };
    try {
      engine.requestMeasurement(agent);
      return { kind: 'answered', id, drift: {} };
    } catch (error) {
      const version = isCoded(error, 'agent_cannot_measure') ? String(error.parameters['version']) : '';
      return { kind: 'refused', id, version };
    }
  }

  /** Another node that has the session of the agent. */
  async #nodeOf(agentId: string): Promise<string | undefined> {
    const { notes, sessions, agents, nodes } = this.#needs;
    if (!notes.isOpen || sessions.of(agentId) !== undefined) return undefined;
    const session = (await agents.get(agentId))?.session ?? null;
    if (session === null || session.endedAt !== null || session.node === nodes.self) return undefined;
    const node = nodes.list().find(({ name }) => name === session.node);
    return node?.state === 'alive' ? node.name : undefined;
  }

  async #ask(of: string, what: 'drift' | 'measure', { id: agentId, name }: Agent): Promise<Answer | undefined> {
    const { nodes, after } = this.#needs;
    if (this.#asked.size >= MAX_ASKED) return undefined;
    const id = randomUUID();
    const { promise, resolve } = Promise.withResolvers<Answer | undefined>();
    const cancelTimer = after(ANSWER_MS, () => resolve(undefined));
    this.#asked.set(id, resolve);
    this.#tell({ kind: 'asked', id, of, what, agent: { id: agentId, name } });
    nodes.hurry(ANSWER_MS);
    const answer = await promise;
    cancelTimer();
    this.#asked.delete(id);
    return answer;
  }

  #tell(told: Told): void {
    this.#needs.notes.add('measurements', '', told);
  }
}

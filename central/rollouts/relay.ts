// One node runs the rollouts, and agents have their sessions at any: what happens at the sessions of the others is reported
// to the node that leads, and what it sends goes to the node that has the session. What is lost on the way is repeated when
// the lead moves, at the next hello, and by the deadlines of the rollout.
import { textOf } from '../../shared/errors.ts';
import type { CentralControl } from '../../shared/wire/messages.ts';
import type { ReleaseState } from '../../shared/wire/release-frames.ts';
import type { SessionFacts } from '../sessions/session.ts';
import type { NodeNote, NodeRecord, SharedChange } from '../store/nodes/node-store.ts';
import type { Cause, RolloutAgentRecord, RolloutRecord, RolloutStore } from '../store/rollouts/rollout-store.ts';
import type { Act } from './agent-steps.ts';
import type { EngineSession } from './engine.ts';
import type { Offers } from './offers.ts';

const TICK_MS = 1_000;
/** An agent reports its progress once a second; others need it only to see that it goes on. */
const PROGRESS_MS = 10_000;
const PAGE = 1_000;
const NOTES_AT_ONCE = 500;
/** With more, they are dropped, and all sessions are reported again. */
const MAX_WAITING = 20_000;

type Facts = EngineSession['facts'];

/** What nodes tell each other of the session of an agent. */
type Told =
  | { readonly kind: 'opened'; readonly node: string; readonly facts: Facts }
  | { readonly kind: 'state'; readonly node: string; readonly facts: Facts; readonly frame: ReleaseState }
  | { readonly kind: 'closed'; readonly sessionId: string }
  | { readonly kind: 'reverted'; readonly number: number; readonly cause: Cause }
  | {
      readonly kind: 'offer';
      readonly sessionId: string;
      readonly rollout: number;
      readonly target: string;
      readonly generation: number;
    }
  | { readonly kind: 'send'; readonly sessionId: string; readonly frame: CentralControl };

/** The engine of the node that leads. */
interface Engine {
  onRemote(session: EngineSession): void;
  onClosed(facts: Pick<Facts, 'agentId' | 'sessionId'>): void;
  onFrame(session: EngineSession, frame: ReleaseState): void;
  onReverted(agentId: string, number: number, cause: Cause): void;
}

interface RelayNeeds {
  readonly store: Pick<RolloutStore, 'active' | 'agents' | 'get'>;
  /** Undefined: this process has the store for itself. */
  readonly tell: ((notes: readonly NodeNote[]) => Promise<void>) | undefined;
  readonly nodes: { readonly self: string; leads(): boolean; list(): readonly NodeRecord[] };
  readonly sessions: { of(agentId: string): EngineSession | undefined };
  readonly offers: Pick<Offers, 'offer'>;
  readonly log: { warn(facts: object, text: string): void };
  readonly now: () => number;
}

interface RemoteSession extends EngineSession {
  readonly node: string;
}

export class RolloutRelay {
  readonly #needs: RelayNeeds;
  #engine: Engine | undefined;
  /** By rollout that is under way: its agents. */
  readonly #members = new Map<number, ReadonlySet<string>>();
  /** By agent, on the node that leads: its session at another node. */
  readonly #remote = new Map<string, RemoteSession>();
  /** By agent: what was last told of its instruction. */
  readonly #told = new Map<string, { readonly key: string; readonly at: number }>();
  #waiting: NodeNote[] = [];
  #leader = '';
  #isTelling = false;
  /** One after the other; until the first has ended nothing is known. */
  #loading: Promise<void> = Promise.resolve();
  #loads = 1;
  #isLoaded = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(needs: RelayNeeds) {
    this.#needs = needs;
  }

  serve(engine: Engine): void {
    this.#engine = engine;
  }

  start(): void {
    if (this.#needs.tell !== undefined) this.#timer = setInterval(() => this.tick(), TICK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** The open session of an agent at another node, on the node that leads. */
  sessionOf(agentId: string): EngineSession | undefined {
    return this.#remote.get(agentId);
  }

  /** This node does not lead any more. */
  forget(): void {
    this.#remote.clear();
  }

  /** A session opened at this node, which does not lead. */
  onOpened({ facts }: EngineSession): void {
    if (this.#isMember(facts.agentId)) this.#tell(facts.agentId, this.#opened(facts));
  }

  onClosed({ agentId, sessionId }: Pick<Facts, 'agentId' | 'sessionId'>): void {
    this.#told.delete(agentId);
    if (this.#isMember(agentId)) this.#tell(agentId, { kind: 'closed', sessionId });
  }

  /** False: the agent takes part in no rollout. */
  onFrame({ facts }: EngineSession, frame: ReleaseState): boolean {
    const { agentId } = facts;
    if (!this.#isMember(agentId)) return false;
    const key = [frame.kind, frame.generation, frame.release, frame.state, frame.code].join(' ');
    const [before, at] = [this.#told.get(agentId), this.#needs.now()];
    if (before?.key === key && at - before.at < PROGRESS_MS) return true;
    this.#told.set(agentId, { key, at });
    this.#tell(agentId, { kind: 'state', node: this.#needs.nodes.self, facts: shortFacts(facts), frame });
    return true;
  }

  onReverted(agentId: string, number: number, cause: Cause): void {
    this.#tell(agentId, { kind: 'reverted', number, cause });
  }

  /** Other nodes changed rollouts, or told something; no changes: some were missed. */
  async follow(changes: readonly SharedChange[]): Promise<void> {
    let isNew = changes.length === 0;
    for (const { subject, id, body } of changes) {
      if (subject === 'rollouts') isNew ||= !this.#members.has(Number(id.slice('r-'.length)));
      // Written by `#tell` of another node; acts of administrators are heard by leader-acts.ts.
      else if (body !== undefined) await this.#hear(id, JSON.parse(body) as Told);
    }
    if (isNew) this.#load(changes.length === 0);
  }

  tick(): void {
    const { nodes } = this.#needs;
    this.#flush();
    const leader = nodes.list().find(({ leads }) => leads);
    const [key, alive] = [`${leader?.name ?? ''} ${leader?.generation ?? 0}`, new Set<string>()];
    for (const { name, state } of nodes.list()) if (state === 'alive') alive.add(name);
    for (const [agentId, { node, facts }] of this.#remote) if (!alive.has(node)) this.#closed(agentId, facts.sessionId);
    if (key === this.#leader || leader === undefined) return;
    this.#leader = key;
    this.#told.clear();
    this.#load(true);
  }

  /** Where it is not known yet, the node that leads decides. */
  #isMember(agentId: string): boolean {
    if (this.#loads > 0) return true;
    for (const members of this.#members.values()) if (members.has(agentId)) return true;
    return false;
  }

  #opened(facts: Facts): Told {
    return { kind: 'opened', node: this.#needs.nodes.self, facts: shortFacts(facts) };
  }

  /** Reports the sessions of the agents of each rollout that is new here; `isAll`: of each that is under way. */
  #load(isAll: boolean): void {
    const load = async (): Promise<void> => {
      const active = await this.#needs.store.active();
      const numbers = new Set(active.map(({ number }) => number));
      for (const number of this.#members.keys()) if (!numbers.has(number)) this.#members.delete(number);
      for (const { number } of active) {
        const known = this.#members.get(number);
        if (known === undefined || isAll) this.#tellSessions(known ?? (await this.#loadMembers(number)));
      }
      if (!this.#isLoaded) this.#loads -= 1;
      this.#isLoaded = true;
    };
    this.#loads += 1;
    this.#loading = this.#loading
      .then(load)
      .catch((error: unknown) => {
        this.#leader = '';
        this.#needs.log.warn({ error: textOf(error) }, 'the agents of rollouts could not be read; trying again');
      })
      .finally(() => (this.#loads -= 1));
  }

  async #loadMembers(number: number): Promise<ReadonlySet<string>> {
    const members = new Set<string>();
    let after: string | undefined;
    do {
      const page = await this.#needs.store.agents({ number, limit: PAGE, ...(after === undefined ? {} : { after }) });
      for (const { agentId } of page) members.add(agentId);
      after = page.length === PAGE ? page.at(-1)?.agentId : undefined;
    } while (after !== undefined);
    this.#members.set(number, members);
    return members;
  }

  #tellSessions(members: ReadonlySet<string>): void {
    if (this.#needs.nodes.leads()) return;
    for (const agentId of members) {
      const session = this.#needs.sessions.of(agentId);
      if (session !== undefined) this.#tell(agentId, this.#opened(session.facts));
    }
  }

  async #hear(agentId: string, told: Told): Promise<void> {
    switch (told.kind) {
      case 'opened':
        if (this.#needs.nodes.leads()) this.#engine?.onRemote(this.#keep(agentId, told));
        return;
      case 'state':
        if (this.#needs.nodes.leads()) this.#engine?.onFrame(this.#known(agentId, told), told.frame);
        return;
      case 'closed':
        return this.#closed(agentId, told.sessionId);
      case 'reverted':
        return this.#engine?.onReverted(agentId, told.number, told.cause);
      case 'offer':
        return await this.#offer(agentId, told);
      case 'send':
        return this.#sessionHere(agentId, told.sessionId)?.sendControl(told.frame);
    }
  }

  #known(agentId: string, told: { readonly node: string; readonly facts: Facts }): EngineSession {
    const known = this.#remote.get(agentId);
    return known?.facts.sessionId === told.facts.sessionId ? known : this.#keep(agentId, told);
  }

  #keep(agentId: string, { node, facts }: { readonly node: string; readonly facts: Facts }): EngineSession {
    const { sessionId } = facts;
    const session: RemoteSession = {
      node,
      facts,
      sendControl: (frame) => this.#tell(agentId, { kind: 'send', sessionId, frame }),
      // Its ticket is made where it is sent: no secret is in the note.
      relay: (act: Act, rollout: RolloutRecord, { target, generation }: RolloutAgentRecord): boolean => {
        if (act !== 'offer' || target === null || generation === null) return false;
        this.#tell(agentId, { kind: 'offer', sessionId, rollout: rollout.number, target, generation });
        return true;
      },
    };
    this.#remote.set(agentId, session);
    return session;
  }

  #closed(agentId: string, sessionId: string): void {
    if (this.#remote.get(agentId)?.facts.sessionId !== sessionId) return;
    this.#remote.delete(agentId);
    this.#engine?.onClosed({ agentId, sessionId });
  }

  #sessionHere(agentId: string, sessionId: string): EngineSession | undefined {
    const session = this.#needs.sessions.of(agentId);
    return session?.facts.sessionId === sessionId ? session : undefined;
  }

  async #offer(agentId: string, told: Extract<Told, { readonly kind: 'offer' }>): Promise<void> {
    const { store, offers } = this.#needs;
    if (this.#sessionHere(agentId, told.sessionId) === undefined) return;
    const rollout = await store.get(told.rollout);
    const { target, generation } = told;
    const frame = rollout === undefined ? undefined : offers.offer(rollout, { agentId, target, generation });
    if (frame !== undefined) this.#sessionHere(agentId, told.sessionId)?.sendControl(frame);
  }

  #tell(id: string, told: Told): void {
    if (this.#needs.tell === undefined) return;
    this.#waiting.push({ subject: 'rollout-notes', id, body: JSON.stringify(told) });
    if (this.#waiting.length > MAX_WAITING) {
      this.#waiting = [];
      this.#leader = '';
      return;
    }
    // One call for what happens together.
    if (this.#waiting.length === 1) setImmediate(() => this.#flush());
  }

  #flush(): void {
    const { tell, log } = this.#needs;
    if (tell === undefined || this.#isTelling || this.#waiting.length === 0) return;
    this.#isTelling = true;
    const notes = this.#waiting.splice(0, NOTES_AT_ONCE);
    tell(notes)
      .then(
        () => setImmediate(() => this.#flush()),
        (error: unknown) => {
          // The next tick tries again.
          this.#waiting.unshift(...notes);
          log.warn({ error: textOf(error) }, 'other nodes could not be notified of rollouts; trying again');
        },
      )
      .finally(() => (this.#isTelling = false));
  }
}

/** The facts of a session have more members. */
function shortFacts({ agentId, sessionId, version, capabilities, releases }: Facts): Facts {
  const facts: Pick<SessionFacts, 'agentId' | 'capabilities' | 'releases' | 'sessionId' | 'version'> = {
    agentId,
    sessionId,
    version,
    capabilities,
    releases,
  };
  return facts;
}

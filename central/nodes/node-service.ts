// Says twice a second that this node is alive, and keeps what it hears: which nodes there are, which one leads, and what
// others changed. With the store in the data folder there is one node, and it leads.
import { textOf } from '../../shared/errors.ts';
import { VERSION } from '../../shared/version.ts';
import { problemFault, problemOf, type Problem } from '../problems.ts';
import {
  NODE_DEAD_MS,
  type NodeNews,
  type NodeRecord,
  type NodeStore,
  type SharedChange,
} from '../store/nodes/node-store.ts';

/** What others change takes effect here within a second. */
const BEAT_MS = 500;
/** While nodes agree on something. */
const HURRY_BEAT_MS = 50;
/** Changes that wait to be applied; with more, everything is read again. */
const MAX_WAITING = 10_000;
/** The clock of this host against that of the database. */
const MAX_CLOCK_OFFSET_MS = 2_000;

/** What other nodes changed is applied to what this one keeps. */
export interface Follower {
  /** In the order of their commits. */
  apply(changes: readonly SharedChange[]): Promise<void>;
  /** Changes were missed: everything is read again. */
  applyAll(): Promise<void>;
}

/** What a node says of itself. */
interface NodeFigures {
  readonly sessions: () => number;
  /** The version of the parameters that apply here. */
  readonly parameters: () => number;
}

/** Runs on the node that leads. Both must not throw. */
interface LeaderWork {
  start(): Promise<void>;
  stop(): Promise<void>;
}

interface NodeServiceOptions {
  /** Undefined: this process has the store for itself. */
  readonly nodes: NodeStore | undefined;
  readonly name: string;
  readonly address: string | undefined;
  readonly log: {
    info(facts: object, text: string): void;
    warn(facts: object, text: string): void;
    error(facts: object, text: string): void;
  };
  readonly now: () => number;
  /** Milliseconds that only grow; the clock of this host may be set. */
  readonly clock?: () => number;
}

export class NodeService {
  readonly #options: NodeServiceOptions;
  readonly #startedAt: number;
  readonly #work: LeaderWork[] = [];
  readonly #clock: () => number;
  #records: readonly NodeRecord[] = [];
  #after = 0;
  /** By `clock`: until then no other node takes the lead. */
  #leadsUntil = 0;
  #isLeading = false;
  #turn: Promise<void> = Promise.resolve();
  #beating: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #follower: Follower | undefined;
  #figures: NodeFigures = { sessions: () => 0, parameters: () => 0 };
  #waiting: SharedChange[] = [];
  #missed = false;
  #applying: Promise<void> | undefined;
  #clockOffAt: number | undefined;
  #drainedListener: () => void = () => undefined;
  readonly #heardListeners: ((nodes: readonly NodeRecord[]) => void)[] = [];
  #toldListener: ((changes: readonly SharedChange[]) => void) | undefined;
  #told: SharedChange[] = [];
  /** By `clock`. */
  #hurriesUntil = 0;
  #hurryTimer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(options: NodeServiceOptions) {
    this.#options = options;
    this.#startedAt = options.now();
    this.#clock = options.clock ?? (() => performance.now());
  }

  /** Heard of by others from then on. Changes that are committed later reach the follower. */
  async start(): Promise<void> {
    const { nodes } = this.#options;
    this.#settle();
    if (nodes === undefined || this.#timer !== undefined) return;
    this.#take(await nodes.news());
    await this.#beat();
    this.#timer = setInterval(() => this.#tick(), BEAT_MS);
    nodes.onHint(() => this.#tick());
  }

  /** What is led is stopped; the store says that the node has left when it is stopped. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#timer);
    clearTimeout(this.#hurryTimer);
    this.#settle();
    await this.#turn;
    await this.#applying;
  }

  /** From now on, what others change is applied, in their order, and these figures are said of it. */
  follow(follower: Follower, figures: NodeFigures): void {
    this.#follower = follower;
    this.#figures = figures;
    this.#apply();
  }

  /** Runs while this node leads: at once where it does. Errors: those of its start. */
  async onLead(work: LeaderWork): Promise<void> {
    const isLeading = this.#isLeading;
    this.#work.push(work);
    if (isLeading) await work.start();
  }

  /** Called when a drain of this node begins. */
  onDrained(listener: () => void): void {
    this.#drainedListener = listener;
  }

  /** Called with all nodes, now and each time that this node has heard of them. */
  onHeard(listener: (nodes: readonly NodeRecord[]) => void): void {
    this.#heardListeners.push(listener);
    listener(this.#records);
  }

  /** Called at once with what nodes tell each other of a change of parameters: it waits for nothing else. */
  onParameterNotes(listener: (notes: readonly SharedChange[]) => void): void {
    this.#toldListener = listener;
    listener(this.#told.splice(0));
  }

  /** For so many milliseconds this node looks more often for what others tell. */
  hurry(ms: number): void {
    this.#hurriesUntil = Math.max(this.#hurriesUntil, this.#clock() + ms);
    if (this.#timer !== undefined) this.#tick();
  }

  /** The clock of the store, by which deadlines count that hold over nodes. */
  storeTime(): number {
    const offset = this.#options.nodes === undefined ? 0 : (this.#self()?.clockOffsetMs ?? 0);
    return this.#options.now() - offset;
  }

  get self(): string {
    return this.#options.nodes?.self.name ?? this.#options.name;
  }

  /** False as soon as another node may lead. */
  leads(): boolean {
    return !this.#isStopped && (this.#options.nodes === undefined || this.#clock() < this.#leadsUntil);
  }

  /** As they were last heard of, in order of name. */
  list(): readonly NodeRecord[] {
    return this.#options.nodes === undefined ? [this.#sole()] : this.#records;
  }

  /** This node admits no agents. */
  isDrained(): boolean {
    return (this.#self()?.drainedAt ?? null) !== null;
  }

  /** For the status. */
  problems(): Problem[] {
    const record = this.#self();
    if (record === undefined || this.#options.nodes === undefined) return [];
    return [...this.#drainProblems(record), ...this.#clockProblems(record)];
  }

  /** A balancer leaves this node out. */
  #drainProblems({ name, drainedAt }: NodeRecord): Problem[] {
    return drainedAt === null ? [] : [problemOf(problemFault('node_drained', { name }), drainedAt)];
  }

  #clockProblems({ name, clockOffsetMs }: NodeRecord): Problem[] {
    if (Math.abs(clockOffsetMs) <= MAX_CLOCK_OFFSET_MS) {
      this.#clockOffAt = undefined;
      return [];
    }
    this.#clockOffAt ??= this.#options.now();
    const seconds = (Math.abs(clockOffsetMs) / 1000).toFixed(1);
    const direction = clockOffsetMs > 0 ? 'ahead of' : 'behind';
    return [problemOf(problemFault('node_clock_off', { name, seconds, direction }), this.#clockOffAt)];
  }

  #self(): NodeRecord | undefined {
    return this.#records.find(({ name }) => name === this.self);
  }

  #sole(): NodeRecord {
    const { name, address = null, now } = this.#options;
    const { sessions, parameters } = this.#figures;
    return {
      name,
      generation: 1,
      version: VERSION,
      address,
      startedAt: this.#startedAt,
      lastSeenAt: now(),
      state: 'alive',
      leads: true,
      clockOffsetMs: 0,
      sessions: sessions(),
      appliedParameters: parameters(),
      drainedAt: null,
    };
  }

  /** Also while a beat waits for the store: the lead ends in time. */
  #tick(): void {
    this.#settle();
    if (this.#isStopped || this.#beating !== undefined) return;
    this.#beating = this.#beat()
      // A store that is away answers later; a node that was given up ends by the failure of its store.
      .catch((error: unknown) => this.#options.log.warn({ error: textOf(error) }, 'the node was not heard of'))
      .finally(() => {
        this.#beating = undefined;
        this.#hurryOn();
      });
  }

  #hurryOn(): void {
    clearTimeout(this.#hurryTimer);
    if (this.#isStopped || this.#clock() >= this.#hurriesUntil) return;
    this.#hurryTimer = setTimeout(() => this.#tick(), HURRY_BEAT_MS);
  }

  async #beat(): Promise<void> {
    const { nodes, now } = this.#options;
    const { sessions, parameters } = this.#figures;
    if (nodes === undefined) return;
    let hasMore: boolean;
    do {
      const [asked, wasDrained] = [this.#clock(), this.isDrained()];
      const beat = { now: now(), sessions: sessions(), appliedParameters: parameters(), after: this.#after };
      const news = await nodes.beat(beat);
      this.#take(news);
      this.#leadsUntil = this.#self()?.leads === true ? asked + NODE_DEAD_MS : 0;
      this.#settle();
      if (this.isDrained() && !wasDrained) this.#drainedListener();
      hasMore = news.hasMore && !this.#isStopped;
    } while (hasMore);
  }

  #take({ nodes, changes, hasGap, next }: NodeNews): void {
    this.#records = nodes;
    this.#after = next;
    this.#missed ||= hasGap;
    const isNote = ({ subject }: SharedChange): boolean => subject === 'parameter-notes';
    this.#told.push(...changes.filter(isNote));
    this.#waiting.push(...changes.filter((change) => !isNote(change)));
    this.#toldListener?.(this.#told.splice(0));
    for (const listener of this.#heardListeners) listener(nodes);
    if (this.#waiting.length > MAX_WAITING) {
      this.#waiting = [];
      this.#missed = true;
    }
    this.#apply();
  }

  /** One change after the other. */
  #apply(): void {
    if (this.#follower === undefined || this.#applying !== undefined) return;
    if (this.#waiting.length === 0 && !this.#missed) return;
    this.#applying = this.#applyWaiting(this.#follower).finally(() => {
      this.#applying = undefined;
      if (this.#waiting.length > 0) this.#apply();
    });
  }

  async #applyWaiting(follower: Follower): Promise<void> {
    const [missed, changes] = [this.#missed, this.#waiting];
    this.#missed = false;
    this.#waiting = [];
    const { log } = this.#options;
    try {
      await (missed ? follower.applyAll() : follower.apply(changes));
    } catch (error) {
      // Nothing is forgotten: everything is read again with the next beat.
      this.#missed = true;
      log.error({ error: textOf(error) }, 'what other nodes changed could not be applied; trying again');
    }
  }

  #settle(): void {
    const leads = this.leads();
    if (leads === this.#isLeading) return;
    this.#isLeading = leads;
    const { log } = this.#options;
    if (this.#options.nodes !== undefined)
      log.info({ node: this.self }, leads ? 'this node leads' : 'this node does not lead any more');
    this.#turn = this.#turn.then(async () => {
      for (const work of this.#work)
        await (leads ? work.start() : work.stop()).catch((error: unknown) =>
          log.error({ error: textOf(error) }, 'work of the leader could not be started or stopped'),
        );
    });
  }
}

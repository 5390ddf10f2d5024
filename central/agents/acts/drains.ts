// Drains: ends the sessions of selected agents, spread over a time, so that they connect again, whichever nodes they are at.
// Each has a state, and counts that are measured by the sessions: who is still on the old one, away, or back. Kept in
// memory: when Central stops, all its sessions end anyway. Those of other nodes: drains-elsewhere.ts.
import { randomBytes } from 'node:crypto';
import { defineErrors, type ErrorTable } from '../../../shared/errors.ts';
import { auditEntry, type Actor } from '../../audit.ts';
import type { SessionsOfAll } from '../../sessions/online/sessions-of-all.ts';
import type { SelectedAgent } from '../../store/agent-store.ts';
import type { AuditStore } from '../../store/audit-store.ts';
import type { Drain, DrainCounts, DrainState } from './drain.ts';
import type { DrainsElsewhere } from './drains-elsewhere.ts';

export const DRAIN_ERRORS = {
  drain_unknown: {
    status: 404,
    text: 'The drain {id} is unknown.',
    hint: 'See "queuegate drains list". Drains from before the last start of Central are not kept, nor more than 100.',
  },
  drain_ended: {
    status: 409,
    text: 'The drain {id} has ended already: it is {state}.',
    hint: 'No action needed.',
  },
  drains_full: {
    status: 409,
    text: '{most} drains are in progress, which is the limit.',
    hint: 'Wait until one has ended, or cancel it: "queuegate drains list", "queuegate drains cancel".',
  },
} as const satisfies ErrorTable;
export const drainFault = defineErrors(DRAIN_ERRORS);

/** Each holds a list of its agents. */
const MAX_RUNNING = 10;
const MAX_MEASURED = 20;
const MAX_KEPT = 100;
const MAX_SHOWN_SELECTORS = 20;
const TICK_MS = 250;
/** How long agents are counted that are away when all sessions have ended: what is away then stays counted as away. */
const MEASURED_MS = 15 * 60_000;

export interface DrainOrder {
  /** As they were typed. */
  readonly selectors: readonly string[];
  readonly selected: readonly SelectedAgent[];
  /** Of the token that orders it: `selected` is within it. Null: all agents. */
  readonly scope: string | null;
  /** The sessions end one after the other within this time. */
  readonly withinSeconds: number;
  /** An agent does not connect again before this time is over. */
  readonly retryAfterSeconds: number;
}

interface DrainsOptions {
  readonly sessions: Pick<SessionsOfAll, 'epochOf' | 'follow' | 'reconnect' | 'unfollow'>;
  readonly elsewhere: Pick<DrainsElsewhere, 'cancel' | 'get' | 'list' | 'show'>;
  readonly audit: Pick<AuditStore, 'append'>;
  readonly log: { info(facts: object, text: string): void };
  readonly now: () => number;
  /** Calls `run` again and again; gives what ends that. */
  readonly every: (ms: number, run: () => void) => () => void;
}

/** A session that a drain ends: that of an agent at its beginning. */
interface Target {
  readonly agentId: string;
  readonly epoch: number;
  /** It has connected again; it may have gone away since. */
  isBack: boolean;
}

interface Kept {
  readonly facts: Omit<Drain, keyof DrainCounts | 'state' | 'stateChangedAt'>;
  readonly offlineCount: number;
  state: DrainState;
  stateChangedAt: number;
  /** Empty once the counts are final. */
  targets: readonly Target[];
  /** How many of them were asked. */
  asked: number;
  /** Null while they are measured. */
  final: DrainCounts | null;
}

export class Drains {
  readonly #options: DrainsOptions;
  /** Oldest first. */
  readonly #drains = new Map<string, Kept>();
  /** Drains whose audit entry is being written. */
  #starting = 0;
  #stopTicks: (() => void) | undefined;

  constructor(options: DrainsOptions) {
    this.#options = options;
  }

  /** Newest first; those of other nodes too. */
  list(): Drain[] {
    return [...this.#options.elsewhere.list(), ...this.own()]
      .toReversed()
      .toSorted((one, other) => other.createdAt - one.createdAt);
  }

  /** Those that this node runs or ran, oldest first. */
  own(): Drain[] {
    return Array.from(this.#drains.values(), (kept) => this.#shown(kept));
  }

  /** Errors: drain_unknown. */
  get(id: string): Drain {
    const kept = this.#drains.get(id);
    const drain = kept === undefined ? this.#options.elsewhere.get(id) : this.#shown(kept);
    if (drain === undefined) throw drainFault('drain_unknown', { id: id.slice(0, 64) });
    return drain;
  }

  /** Begins; the first sessions end before it resolves. Errors: drains_full. */
  async create(order: DrainOrder, actor: Actor): Promise<Drain> {
    const { selectors, selected, scope, withinSeconds, retryAfterSeconds } = order;
    const { audit, now, log, sessions } = this.#options;
    const running = Array.from(this.#drains.values()).filter(({ state }) => state === 'draining').length;
    if (running + this.#starting >= MAX_RUNNING) throw drainFault('drains_full', { most: MAX_RUNNING });
    const id = randomBytes(8).toString('hex');
    const agentCount = selected.length;
    // Enough to recognize it by.
    const shown = selectors.slice(0, MAX_SHOWN_SELECTORS);
    const terms = { id, agents: shown, scope, agentCount, withinSeconds, retryAfterSeconds };
    const agentIds = selected.map((agent) => agent.id);
    this.#starting += 1;
    try {
      await sessions.follow(agentIds);
      await audit.append(auditEntry(actor, 'drains.create', terms, now())).catch((error: unknown) => {
        sessions.unfollow(agentIds);
        throw error;
      });
    } finally {
      this.#starting -= 1;
    }
    const targets = agentIds.flatMap((agentId): Target[] => {
      const epoch = sessions.epochOf(agentId);
      return epoch === undefined ? [] : [{ agentId, epoch, isBack: false }];
    });
    const isTarget = new Set(targets.map(({ agentId }) => agentId));
    sessions.unfollow(agentIds.filter((agentId) => !isTarget.has(agentId)));
    const at = now();
    const facts = {
      id,
      createdAt: at,
      createdBy: actor.who,
      selectors: shown,
      scope,
      withinSeconds,
      retryAfterSeconds,
      agentCount,
    };
    const offlineCount = agentCount - targets.length;
    const kept: Kept = { facts, offlineCount, state: 'draining', stateChangedAt: at, targets, asked: 0, final: null };
    this.#drains.set(id, kept);
    log.info({ drain: id, agents: targets.length, withinSeconds, retryAfterSeconds, by: actor.who }, 'drain begins');
    this.#forgetOldest();
    this.#tick();
    return this.#shown(kept);
  }

  /** Sessions that have not ended yet stay open. Errors: drain_unknown, drain_ended. */
  async cancel(id: string, actor: Actor): Promise<Drain> {
    const { state } = this.get(id);
    if (state !== 'draining') throw drainFault('drain_ended', { id, state });
    await this.#options.audit.append(auditEntry(actor, 'drains.cancel', { id }, this.#options.now()));
    if (this.#drains.has(id)) this.onCanceled(id);
    else await this.#options.elsewhere.cancel(id);
    return this.get(id);
  }

  /** Recorded, here or at another node. It may have ended meanwhile. */
  onCanceled(id: string): void {
    const kept = this.#drains.get(id);
    if (kept?.state !== 'draining') return;
    this.#enter(kept, 'canceled');
    this.#show(kept);
  }

  stop(): void {
    this.#stopTicks?.();
    this.#stopTicks = undefined;
    for (const kept of this.#drains.values()) if (kept.state === 'draining') this.#enter(kept, 'canceled');
  }

  /** To the other nodes. */
  #show(kept: Kept): void {
    this.#options.elsewhere.show(this.#shown(kept), kept.final !== null);
  }

  #enter(kept: Kept, state: DrainState): void {
    kept.state = state;
    kept.stateChangedAt = this.#options.now();
    this.#options.log.info({ drain: kept.facts.id, ...this.#counts(kept) }, `drain ${state}`);
  }

  /** Of ended drains, which are not measured any more. */
  #forgetOldest(): void {
    for (const [id, { state, targets }] of this.#drains) {
      if (this.#drains.size <= MAX_KEPT) return;
      if (state === 'draining') continue;
      this.#drains.delete(id);
      this.#options.sessions.unfollow(targets.map(({ agentId }) => agentId));
    }
  }

  #tick(): void {
    let isMeasuring = false;
    for (const kept of this.#drains.values()) {
      if (kept.final !== null) continue;
      if (kept.state === 'draining') this.#advance(kept);
      this.#settle(kept);
      this.#show(kept);
      isMeasuring ||= kept.final === null;
    }
    if (!isMeasuring) {
      this.#stopTicks?.();
      this.#stopTicks = undefined;
    } else this.#stopTicks ??= this.#options.every(TICK_MS, () => this.#tick());
  }

  /** Ends the sessions whose turn has come. */
  #advance(kept: Kept): void {
    const { now, sessions } = this.#options;
    const { createdAt, withinSeconds, retryAfterSeconds } = kept.facts;
    const share = withinSeconds === 0 ? 1 : (now() - createdAt) / (withinSeconds * 1000);
    // The first one ends at once, the last one when the time is over.
    const due = Math.min(kept.targets.length, 1 + Math.floor(Math.max(0, share) * (kept.targets.length - 1)));
    if (due > kept.asked) sessions.reconnect(kept.targets.slice(kept.asked, due), retryAfterSeconds);
    kept.asked = Math.max(kept.asked, due);
    this.#endIfDone(kept);
  }

  #endIfDone(kept: Kept): void {
    if (kept.state === 'draining' && this.#counts(kept).waitingCount === 0) this.#enter(kept, 'drained');
  }

  /** Keeps the counts, and no longer the agents, when nothing is left to measure. */
  #settle(kept: Kept): void {
    if (kept.state === 'draining') return;
    const counts = this.#counts(kept);
    const isOver = this.#options.now() - kept.stateChangedAt >= MEASURED_MS || this.#measured() > MAX_MEASURED;
    if (counts.awayCount > 0 && !isOver) return;
    kept.final = counts;
    this.#options.sessions.unfollow(kept.targets.map(({ agentId }) => agentId));
    kept.targets = [];
  }

  #measured(): number {
    return Array.from(this.#drains.values()).filter(({ final }) => final === null).length;
  }

  #counts({ targets, offlineCount, final }: Kept): DrainCounts {
    if (final !== null) return final;
    let [waitingCount, reconnectedCount] = [0, 0];
    for (const target of targets) {
      const present = target.isBack ? undefined : this.#options.sessions.epochOf(target.agentId);
      if (present === target.epoch) waitingCount += 1;
      else if (present !== undefined) target.isBack = true;
      if (target.isBack) reconnectedCount += 1;
    }
    const awayCount = targets.length - waitingCount - reconnectedCount;
    return { offlineCount, waitingCount, awayCount, reconnectedCount };
  }

  /** Its state is that of its counts, which may have changed since the last tick. */
  #shown(kept: Kept): Drain {
    this.#endIfDone(kept);
    const { facts, state, stateChangedAt } = kept;
    return { ...facts, state, stateChangedAt, ...this.#counts(kept) };
  }
}

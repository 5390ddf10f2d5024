// Keeps the open sessions: the newest of each agent wins at once, clones are quarantined, and a change of settings ends
// sessions that are no longer allowed. One session's socket never waits for another's.
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { WebSocket } from 'ws';
import { isCoded, textOf } from '../../shared/errors.ts';
import { STREAM_LIMITS, STREAMS_CAPABILITY } from '../../shared/session/streams/frames.ts';
import { encode } from '../../shared/wire/codec.ts';
import type { AgentControl, Hello, SessionLimits, Welcome } from '../../shared/wire/messages.ts';
import { welcomeTranscript } from '../../shared/wire/proof.ts';
import { refusal } from '../../shared/wire/refusals.ts';
import type { AgingClock } from '../aging-clock.ts';
import { isLoopback, type Origin } from '../auth/address-rules.ts';
import { endCause, keptReason, stateReason } from '../store/agents/state-reasons.ts';
import type { AgentCertificate } from '../store/certificate-store.ts';
import type { AgentRecord, ClaimedSession, ClaimTerms, Login, SessionClaim } from '../store/agent-store.ts';
import type { Store } from '../store/store.ts';
import { budgetBytes, ByteBudget } from './limits/byte-budget.ts';
import { ByteGate } from './limits/byte-gate.ts';
import { CloneGuard } from './clones/clone-guard.ts';
import { FrameTurns } from './limits/frame-turns.ts';
import type { Incidents } from '../agents/incidents.ts';
import { OutflowBudget } from './limits/outflow-budget.ts';
import { Session, type EndReason, type SessionFacts, type SharedBudgets } from './session.ts';
import { SessionInbox, SessionOutbox } from './session-logs.ts';

export interface SessionSettings {
  readonly heartbeatSeconds: number;
  readonly slowPeerSeconds: number;
  readonly disabledRetrySeconds: number;
  readonly limits: SessionLimits;
}

interface SessionsOptions {
  readonly store: Pick<Store, 'agents' | 'inbox' | 'nodes' | 'outbox'>;
  readonly incidents: Incidents;
  /** Identifies this Central process in session records. */
  readonly node: string;
  /** Central's name, as in its challenge. */
  readonly central: string;
  /** Signs with Central's signing key; base64. */
  readonly sign: (transcript: string) => string;
  readonly settings: () => SessionSettings;
  readonly log: Logger;
  readonly now: () => number;
  /** By which commands expire (central/aging-clock.ts). */
  readonly aging: Pick<AgingClock, 'now' | 'steady' | 'offsetMs'>;
  /** Of this process (v8.getHeapStatistics().heap_size_limit): the budgets over all sessions follow from it. */
  readonly heapLimitBytes: number;
  /** Called a few times per second. */
  readonly onBudgets: (use: BudgetUse) => void;
  readonly onOpened: (facts: SessionFacts) => void;
  /** The agent used its next key for the first time: the certificates of the old key are revoked. */
  readonly onPromoted: (agentId: string) => void;
  readonly onClosed: (facts: SessionFacts, reason: EndReason) => void;
  readonly onEvents: (count: number) => void;
  /** Certificates and trust over the sessions; must not throw. */
  readonly control: ControlPort;
}

interface BudgetUse {
  /** Accepted from agents and not yet committed. */
  readonly intakeBytes: number;
  /** Sessions that are not read until the budget has room. */
  readonly waitingSessions: number;
  /** Read for agents and not yet taken by the operating system. */
  readonly outflowBytes: number;
}

/**
 * Bytes on their way to the writing thread: some 100 ms of work, so that a fresh event waits no longer behind backlogs.
 */
const MAX_WRITING_BYTES = 8 * 1024 * 1024;
const WRITING_SHARE = 1 / 4;
/** What a session does not use of its budget within this time goes to another. */
const BUDGET_TICK_MS = 250;

/** The time of agents may differ from Central's by so much: time servers correct by less, and each agent reconnects for more. */
const MAX_CLOCK_ERROR_MS = 10_000;
const CLOCK_SPREAD_SECONDS = 60;

/** Handles control frames (central/sessions/control.ts). */
export interface ControlPort {
  /** A session opened: the agent may have missed something. */
  onOpened(session: Session): void;
  onFrame(session: Session, frame: AgentControl): void;
}

/** A connection whose hello is signed by the key that it shows. */
export interface ProvenHello {
  readonly hello: Hello;
  /** Of the session that it may become. */
  readonly sessionId: string;
  /** Of the key that signed the hello. */
  readonly keyThumbprint: string;
  readonly webSocket: WebSocket;
  readonly connection: Socket;
  readonly listener: 'ws' | 'wss';
  readonly origin: Origin;
}

/** One of a known agent: its current key or its next has signed. */
export interface ProvenConnection extends ProvenHello {
  /** The validated certificate on record for that key; null: the agent may connect by its key alone. */
  readonly certificate: AgentCertificate | null;
}

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #byAgent = new Map<string, Session>();
  readonly #clones: CloneGuard;
  readonly #budgets: SharedBudgets;
  readonly #ticks: NodeJS.Timeout;
  /**
   * Agents that were revoked or disabled, with the first epoch after that: an older claim may still be on its way through
   * the store.
   */
  readonly #fenced = new Map<string, { readonly epoch: number; readonly reason: Error }>();
  #state: 'open' | 'stopping' = 'open';

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#clones = new CloneGuard(options);
    const totalBytes = budgetBytes(options.heapLimitBytes);
    const budget = new ByteBudget(totalBytes);
    const outflow = new OutflowBudget(totalBytes);
    this.#budgets = {
      budget,
      outflow,
      gate: new ByteGate(Math.min(MAX_WRITING_BYTES, totalBytes * WRITING_SHARE)),
      turns: new FrameTurns(),
    };
    this.#ticks = setInterval(() => {
      budget.tick();
      options.onBudgets({ intakeBytes: budget.used, waitingSessions: budget.waiting, outflowBytes: outflow.used });
    }, BUDGET_TICK_MS).unref();
  }

  /** Open sessions of this process: the bound of its memory (Admission). */
  get size(): number {
    return this.#byAgent.size;
  }

  /** The agents that are online, on whichever Central. Sessions of this process alone are found with `each` and `of`. */
  async online(): Promise<readonly SessionFacts[]> {
    return Array.from(this.#byAgent.values(), (session) => session.facts);
  }

  /** A hint: commands for this agent were appended. */
  notify(agentId: string): void {
    this.#byAgent.get(agentId)?.notify();
  }

  /** True when this hello cannot be one of two running copies of a key; only then `logIn` may claim. */
  isSteady(hello: Hello): boolean {
    return this.#clones.isSteady(hello);
  }

  /** Looks the agent up and claims the epoch in one call, if it meets the terms. Throws a refusal for a name that is taken. */
  async logIn(proven: ProvenHello, terms: ClaimTerms): Promise<Login> {
    try {
      return await this.#options.store.agents.logIn(this.#claimOf(proven), this.#clones.terms(terms));
    } catch (error) {
      throw this.#refusalOf(error, proven);
    }
  }

  /**
   * Claims the epoch and welcomes the agent. Ends an older session of the same agent at once, with the reason.
   * Throws a refusal when the agent may not connect. The WebSocket is paused, and read as soon as there is room.
   */
  async welcome(
    proven: ProvenConnection,
    { quarantinedUntil, session }: Pick<AgentRecord, 'quarantinedUntil' | 'session'>,
  ): Promise<void> {
    const now = this.#options.now();
    if (quarantinedUntil !== null && quarantinedUntil > now)
      throw refusal('quarantined', { seconds: Math.ceil((quarantinedUntil - now) / 1000) });
    await this.#clones.refuse(proven, this.of(proven.hello.id), session);
    await this.#begin(proven, await this.#claim(proven));
  }

  /** The same, with the epoch that `logIn` has claimed. */
  async welcomeClaimed(proven: ProvenConnection, claimed: ClaimedSession): Promise<void> {
    try {
      await this.#clones.refuseClaimed(proven, this.of(proven.hello.id));
    } catch (error) {
      await this.#endClaimed(proven, claimed);
      throw error;
    }
    await this.#begin(proven, claimed);
  }

  /** Gives up what `logIn` has claimed. The older session is over all the same. */
  async giveUp(proven: ProvenHello, claimed: ClaimedSession): Promise<void> {
    this.#endOlder(proven.hello.id, claimed);
    await this.#endClaimed(proven, claimed);
  }

  async #begin(proven: ProvenConnection, claimed: ClaimedSession): Promise<void> {
    this.#endOlder(proven.hello.id, claimed);
    if (this.#state !== 'open' || proven.webSocket.readyState !== proven.webSocket.OPEN)
      return await this.#abandon(proven, claimed);
    const settings = this.#options.settings();
    const { aging, now } = this.#options;
    const facts = sessionFacts(proven, claimed, now(), aging.offsetMs());
    const { connection } = proven;
    // One write, and one packet: the welcome and the begin that follows it within this step.
    connection.cork();
    process.nextTick(() => connection.uncork());
    this.#sendWelcome(proven, facts, claimed.up, settings);
    this.#open(proven, facts, claimed, settings);
  }

  /** Ends the session that the claim replaced; throws a refusal when the claim itself is outdated already. */
  #endOlder(agentId: string, { epoch, promoted }: ClaimedSession): void {
    if (promoted) this.#options.onPromoted(agentId);
    const fence = this.#fenced.get(agentId);
    if (fence !== undefined && epoch < fence.epoch) throw fence.reason;
    this.#fenced.delete(agentId);
    const older = this.#byAgent.get(agentId);
    if (older !== undefined && older.facts.epoch > epoch) throw refusal('superseded', {});
    // Its epoch is over, whatever happens to the new connection.
    older?.end(refusal('superseded', {}));
  }

  /** Gives a claimed session up whose connection ended, or that came while Central stops. */
  async #abandon(proven: ProvenHello, claimed: ClaimedSession): Promise<void> {
    await this.#endClaimed(proven, claimed);
    if (this.#state !== 'open') throw refusal('going_away', {});
    proven.webSocket.resume();
  }

  async #endClaimed({ hello }: ProvenHello, { epoch }: ClaimedSession): Promise<void> {
    await this.#options.store.agents.endSession({
      agentId: hello.id,
      epoch,
      now: this.#options.now(),
      reason: stateReason('session_unwelcomed', {}),
    });
  }

  #sendWelcome(
    { hello, webSocket }: ProvenConnection,
    { sessionId, epoch }: SessionFacts,
    up: ClaimedSession['up'],
    { heartbeatSeconds, limits }: SessionSettings,
  ): void {
    const welcome: Omit<Welcome, 'signature'> = {
      type: 'welcome',
      sessionId,
      epoch,
      time: this.#options.aging.steady(),
      heartbeatSeconds,
      // Of streams only to an agent that knows them: to others the welcome is as it was.
      limits: hello.capabilities.includes(STREAMS_CAPABILITY) ? { ...limits, ...STREAM_LIMITS } : limits,
      logs: { up },
    };
    webSocket.send(
      encode({ ...welcome, signature: this.#options.sign(welcomeTranscript(hello, this.#options.central, welcome)) }),
    );
  }

  #open(
    { hello, webSocket, connection }: ProvenConnection,
    facts: SessionFacts,
    claimed: Pick<ClaimedSession, 'down' | 'begun'>,
    settings: SessionSettings,
  ): void {
    const { log, now, node, control, onEvents, onOpened } = this.#options;
    // What these closures name lives as long as the session: the number and not the record.
    const { agentId, agentName: name, sessionId, epoch, transport, address } = facts;
    const opened = new Session({
      facts,
      budgets: this.#budgets,
      socket: webSocket,
      connection,
      outbox: new SessionOutbox(this.#options, facts, claimed),
      inbox: new SessionInbox(this.#options, facts, claimed),
      limits: settings.limits,
      heartbeatMs: settings.heartbeatSeconds * 1000,
      slowPeerMs: settings.slowPeerSeconds * 1000,
      log,
      now,
      onEvents,
      onControl: (session, frame) => control.onFrame(session, frame),
      onEnd: (ended, reason) => this.#onEnd(ended, reason),
    });
    this.#byAgent.set(agentId, opened);
    log.info({ agent: agentId, name, session: sessionId, epoch, transport, address, node }, 'agent online');
    onOpened(facts);
    opened.start(hello.logs.down);
    control.onOpened(opened);
  }

  /** Calls `act` for each open session of this process. */
  each(act: (session: Session) => void): void {
    for (const session of this.#byAgent.values()) act(session);
  }

  /** The number of an agent with an open session in this process, which needs no look-up. */
  keyOf(agentId: string): number | undefined {
    const session = this.#byAgent.get(agentId);
    return session?.isOpen === true ? session.facts.agentKey : undefined;
  }

  /** The open session of this agent in this process. */
  of(agentId: string): Session | undefined {
    return this.#byAgent.get(agentId);
  }

  /** Ends the sessions for which `reasonFor` returns a reason; returns their number. */
  endWhere(reasonFor: (facts: SessionFacts) => Error | undefined, how: Parameters<Session['end']>[1] = {}): number {
    let ended = 0;
    for (const session of this.#byAgent.values()) {
      const reason = reasonFor(session.facts);
      if (reason === undefined) continue;
      session.end(reason, how);
      ended += 1;
    }
    return ended;
  }

  /** Asks these agents to reconnect, spread over a time; returns their number. */
  requestReconnect(which: (facts: SessionFacts) => boolean, spreadSeconds: number): number {
    for (const session of this.#byAgent.values()) if (which(session.facts)) session.drain(0, spreadSeconds);
    return this.endWhere((facts) => (which(facts) ? refusal('going_away', {}) : undefined));
  }

  /** An administrator named the agent: reports name it so from now on. */
  rename(agentId: string, name: string): void {
    this.#byAgent.get(agentId)?.rename(name);
  }

  /** Asks one agent to reconnect: ends the session of this epoch, and no newer one. */
  reconnect(agentId: string, epoch: number, retryAfterSeconds: number): void {
    const session = this.#byAgent.get(agentId);
    if (session?.facts.epoch !== epoch) return;
    session.drain(retryAfterSeconds, 0);
    const until = this.#options.now() + retryAfterSeconds * 1000;
    const { code, message } = endCause('session_drained', { seconds: retryAfterSeconds });
    session.end(refusal('going_away', {}), { because: { code, message, until } });
  }

  /** Agents whose welcome had another time than Central's clock would show now reconnect: it was set meanwhile. */
  correctTime(): void {
    const offsetMs = this.#options.aging.offsetMs();
    const asked = this.requestReconnect(
      (facts) => Math.abs(facts.clockOffsetMs - offsetMs) > MAX_CLOCK_ERROR_MS,
      CLOCK_SPREAD_SECONDS,
    );
    if (asked > 0) this.#options.log.info({ agents: asked }, 'the clock was set: agents reconnect to get the time');
  }

  /** The agent was deleted: ends its session. */
  remove(agentId: string): void {
    this.#clones.forget(agentId);
    this.#byAgent.get(agentId)?.end(refusal('agent_deleted', {}));
  }

  /** The agent was revoked (`epoch`: AgentStore.revoke): ends its session. */
  revoke(agentId: string, epoch: number, reason: string): void {
    this.#endBelow(agentId, epoch, refusal('agent_revoked', { reason }));
  }

  /** The agent was disabled (`epoch`: AgentStore.disable): ends its session. */
  disable(agentId: string, epoch: number): void {
    const { disabledRetrySeconds: retryAfterSeconds } = this.#options.settings();
    this.#endBelow(agentId, epoch, refusal('agent_disabled', {}), { retryAfterSeconds });
  }

  #endBelow(agentId: string, epoch: number, reason: Error, how: Parameters<Session['end']>[1] = {}): void {
    this.#fenced.set(agentId, { epoch, reason });
    const session = this.#byAgent.get(agentId);
    if (session !== undefined && session.facts.epoch < epoch) session.end(reason, how);
  }

  /** The agent has another key: ends the session of the old one. */
  identityReplaced(agentId: string): void {
    this.#clones.forget(agentId);
    this.#byAgent.get(agentId)?.end(refusal('identity_replaced', {}));
  }

  /** Asks every agent to reconnect, spread over a time, ends the sessions and waits for them, at most `withinMs`. */
  async stop(spreadSeconds: number, withinMs: number): Promise<void> {
    this.#state = 'stopping';
    for (const session of this.#byAgent.values()) session.drain(1, spreadSeconds);
    this.endWhere(() => refusal('going_away', {}));
    const deadline = Date.now() + withinMs;
    while (this.#byAgent.size > 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
    clearInterval(this.#ticks);
  }

  async #claim(proven: ProvenConnection): Promise<ClaimedSession> {
    try {
      return await this.#options.store.agents.claimSession(this.#claimOf(proven));
    } catch (error) {
      throw this.#refusalOf(error, proven);
    }
  }

  #claimOf({ hello, sessionId, keyThumbprint, origin }: ProvenHello): SessionClaim {
    return {
      agentId: hello.id,
      keyThumbprint,
      name: hello.name,
      session: sessionId,
      bootId: hello.bootId,
      version: hello.version,
      transport: origin.scheme,
      address: origin.address,
      node: this.#options.node,
      down: hello.logs.down,
      now: this.#options.now(),
    };
  }

  /** What an agent hears of a claim that failed. */
  #refusalOf(error: unknown, proven: ProvenHello): unknown {
    const { hello } = proven;
    if (isCoded(error, 'agent_name_taken', 'agent_name_reserved')) {
      this.#record('agent_name_taken', proven, { name: hello.name });
      return refusal('agent_name_taken', { name: hello.name }, error);
    }
    // Revoked, disabled or deleted between the look-up and the claim.
    if (isCoded(error, 'agent_revoked')) return refusal('agent_revoked', { reason: 'just now' }, error);
    if (isCoded(error, 'agent_disabled')) return refusal('agent_disabled', {}, error);
    if (isCoded(error, 'agent_unknown')) return refusal('agent_unknown', { id: hello.id }, error);
    return error;
  }

  #record(kind: string, proven: ProvenHello, detail: Readonly<Record<string, unknown>>): void {
    this.#options.incidents.record({
      kind,
      agentId: proven.hello.id,
      address: proven.origin.address,
      at: this.#options.now(),
      detail,
    });
  }

  #onEnd(session: Session, reason: EndReason): void {
    const { agentId, epoch } = session.facts;
    if (this.#byAgent.get(agentId) === session) this.#byAgent.delete(agentId);
    const { code, message: detail } = reason;
    this.#options.log.info({ agent: agentId, session: session.facts.sessionId, reason: code, detail }, 'agent offline');
    this.#options.onClosed(session.facts, reason);
    this.#options.store.agents
      .endSession({ agentId, epoch, now: this.#options.now(), reason: keptReason(reason), until: reason.until ?? null })
      .catch((error: unknown) => {
        // Only the shown state is late; the next start of this node repairs it (endAbandonedSessions). A removed agent has
        // no row.
        this.#options.log.debug({ agent: agentId, error: textOf(error) }, 'end of session not recorded');
      });
  }
}

function sessionFacts(
  { hello, sessionId, listener, origin, certificate }: ProvenConnection,
  { epoch, key, name }: ClaimedSession,
  since: number,
  clockOffsetMs: number,
): SessionFacts {
  return {
    agentId: hello.id,
    agentKey: key,
    agentName: name,
    sessionId,
    epoch,
    bootId: hello.bootId,
    version: hello.version,
    transport: origin.scheme,
    listener,
    address: origin.address,
    peer: origin.peer,
    loopback: isLoopback(origin.address),
    capabilities: hello.capabilities,
    releases: hello.releases,
    since,
    clockOffsetMs,
    certificate,
  };
}

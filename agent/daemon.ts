// Runs the daemon: dials, reports its status, and stops in order. main.ts composes it.
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { createBackoff } from '../shared/backoff.ts';
import { textOf } from '../shared/errors.ts';
import type { InboxPort, OutboxPort } from '../shared/delivery/log-interfaces.ts';
import { LIMITS, type Position } from '../shared/wire/messages.ts';
import { VERSION } from '../shared/version.ts';
import { filesChanged, refreshSnapshot, snapshotFiles, type FileSnapshot } from './file-changes.ts';
import type { AgentConf } from './conf.ts';
import { agentName, dialTargets, targetName } from './target.ts';
import { connectionLoop, type LoopState } from './connection/loop.ts';
import type { DialPlan, OnlineSession } from './connection/connection.ts';
import type { Control } from './connection/control.ts';
import { Takeover, type Attempt } from './connection/takeover.ts';
import { agentFault } from './errors.ts';
import type { Credentials } from './identity/identity.ts';
import type { SoftwarePair } from './software-slot.ts';
import type { Trusted } from './trust/trusted.ts';

interface DaemonPorts {
  /** The configuration of the start. */
  readonly firstConf: AgentConf;
  readonly firstName: string;
  /** The name that counts from now on: the configured one, else the one it enrolled with. */
  onName(name: string): void;
  /** Reads the configuration again: changes of the connection count at the next dial. */
  conf(): Promise<AgentConf>;
  /**
   * Who this agent is, with its key, read at each dial; enrolls by the one-time file when there is one. Undefined: not
   * enrolled.
   */
  credentials(conf: AgentConf): Promise<Credentials | undefined>;
  trusted(conf: AgentConf): Promise<Trusted>;
  /** The files that the connection depends on. */
  watched(conf: AgentConf): readonly string[];
  readonly outbox: OutboxPort;
  readonly inbox: InboxPort & { position(): Promise<Position | null>; setCentralTime(time: number): Promise<void> };
  /** Certificate and trust (connection/control.ts). */
  readonly control: Control;
  /** What this process runs from; undefined: the launcher has not started it. */
  readonly software?: SoftwarePair | undefined;
  readonly log: Logger;
  readonly now: () => number;
}

/** What the local API shows of the connection. */
interface ConnectionStatus {
  readonly state: 'connecting' | 'online' | 'waiting' | 'stopped-by-refusal';
  readonly stateChangedAt: string;
  /** Why it is not online: the last failure. */
  readonly stateReason: { readonly code: string; readonly detail: string; readonly hint: string } | null;
  readonly central: {
    readonly name: string;
    readonly url: string;
    readonly sessionId: string;
    readonly epoch: number;
  } | null;
  /** Since when it is online. */
  readonly connectedAt: string | null;
}

/** A certificate that is out of date stays so for long, and so does a wrong clock. */
const WARN_AGAIN_MS = 86_400_000;
/** A clock that time servers set is within a second. */
const CLOCK_WARNING_MS = 60_000;

export class Daemon {
  readonly #ports: DaemonPorts;
  readonly #stopping = new AbortController();
  /** Random per start: two that alternate at Central are clones. */
  readonly #bootId = randomBytes(24).toString('base64url');
  readonly #takeover: Takeover;
  #running: Promise<void> | undefined;
  #seen: FileSnapshot;
  #name: string;
  #maxMessageBytes: number = LIMITS.maxMessageBytes;
  #status: ConnectionStatus;
  #lastCode = '';
  /** By the text of the warning. */
  #warnedAt: ReadonlyMap<string, number> = new Map();
  /** On the clock of performance.now(). */
  #clockWarnedAt = -WARN_AGAIN_MS;

  constructor(ports: DaemonPorts) {
    this.#ports = ports;
    const { outbox, inbox, control, now } = ports;
    this.#takeover = new Takeover({
      outbox,
      inbox,
      control,
      now,
      onOnline: (online, plan) => this.#onOnline(online, plan),
    });
    this.#name = ports.firstName;
    this.#seen = { files: ports.watched(ports.firstConf), looks: [] };
    this.#status = {
      state: 'connecting',
      stateChangedAt: new Date(ports.now()).toISOString(),
      stateReason: null,
      central: null,
      connectedAt: null,
    };
  }

  /** Starts dialling; `onDefect` gets unexpected errors. */
  start(onDefect: (error: unknown) => void): void {
    const { log } = this.#ports;
    this.#running ??= connectionLoop(
      {
        plans: () => this.#plans(),
        connect: (plan, signal) => this.#takeover.run(plan, signal),
        changed: (signal) => filesChanged(this.#seen, signal),
        backoff: createBackoff(),
        onState: (state) => this.#onState(state),
      },
      this.#stopping.signal,
    ).catch((error: unknown) => {
      log.error({ error: textOf(error) }, 'the connection loop ended');
      onDefect(error);
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /** Ends the connection, and dials again: with the next key, if there is one. */
  reconnect(): void {
    this.#takeover.end(agentFault('next_key', {}));
  }

  /** A hint: events were appended. */
  notify(): void {
    this.#takeover.live?.session.notify();
  }

  /** The agent changed a watched file itself: not a reason to dial sooner. */
  async changedByItself(file: string): Promise<void> {
    const seen = await refreshSnapshot(file);
    this.#seen = seen(this.#seen);
  }

  /** The configured name, else the one it enrolled with. */
  name(): string {
    return this.#name;
  }

  /** What Central said last; before that, the protocol's bound. */
  maxMessageBytes(): number {
    return this.#maxMessageBytes;
  }

  status(): ConnectionStatus {
    return this.#status;
  }

  /** What the open session was dialed with; undefined: none is open. */
  livePlan(): DialPlan | undefined {
    return this.#takeover.live?.plan;
  }

  /** What to dial with another configuration, in order. Errors: as of a dial. */
  async plansFor(conf: AgentConf): Promise<DialPlan[]> {
    return (await this.#plansOf(conf)).plans;
  }

  /** Dials beside the open session, which goes on until the welcome; undefined: none is open. */
  attempt(plan: DialPlan, signal: AbortSignal): Attempt | undefined {
    return this.#takeover.attempt(plan, AbortSignal.any([signal, this.#stopping.signal]));
  }

  async #plans(): Promise<DialPlan[]> {
    // Before anything is read: what is fixed while it is read or dialled counts as a change. The configuration may name
    // other files than the last time.
    const before = await snapshotFiles(this.#seen.files);
    const conf = await this.#ports.conf();
    const watched = this.#ports.watched(conf);
    this.#seen = watched.join() === before.files.join() ? before : await snapshotFiles(watched);
    const { plans, name, warnings } = await this.#plansOf(conf);
    this.#setName(name);
    this.#warn(conf.truststore.path, warnings);
    return plans;
  }

  async #plansOf(
    conf: AgentConf,
  ): Promise<{ readonly plans: DialPlan[]; readonly name: string; readonly warnings: readonly string[] }> {
    const credentials = await this.#ports.credentials(conf);
    if (credentials === undefined) throw agentFault('not_enrolled', {});
    const { identity, key, next } = credentials;
    const { secure, proxied } = conf.central;
    const trusted = secure ? await this.#ports.trusted(conf) : undefined;
    const name = agentName(conf, identity);
    const plans = dialTargets(conf, identity).map((target) => ({
      target,
      ca: trusted?.ca ?? [],
      truststore: conf.truststore.path,
      key,
      identity,
      next,
      name,
      version: VERSION,
      bootId: this.#bootId,
      proxied,
      release: conf.profile.release,
      software: this.#ports.software,
    }));
    return { plans, name, warnings: trusted?.warnings ?? [] };
  }

  #setName(name: string): void {
    this.#name = name;
    this.#ports.onName(name);
  }

  /** Each warning once a day, however often the truststore is read. */
  #warn(truststore: string, warnings: readonly string[]): void {
    const now = this.#ports.now();
    const before = this.#warnedAt;
    this.#warnedAt = new Map(
      warnings.map((warning) => {
        const last = before.get(warning);
        if (last !== undefined && Math.abs(now - last) < WARN_AGAIN_MS) return [warning, last];
        this.#ports.log.warn({ truststore }, warning);
        return [warning, now];
      }),
    );
  }

  #onOnline(online: OnlineSession, { name, release }: DialPlan): void {
    this.#setName(name);
    this.#setCentralTime(online.time);
    this.#maxMessageBytes = online.maxMessageBytes;
    this.#lastCode = '';
    const url = targetName(online.target);
    this.#set({
      state: 'online',
      stateReason: null,
      central: { name: online.centralName, url, sessionId: online.sessionId, epoch: online.epoch },
      connectedAt: new Date(this.#ports.now()).toISOString(),
    });
    this.#ports.log.info(
      {
        central: online.centralName,
        url,
        session: online.sessionId,
        epoch: online.epoch,
        ...(release === null ? {} : { release }),
      },
      'online',
    );
  }

  #setCentralTime(time: number): void {
    const { inbox, log, now } = this.#ports;
    const aheadMs = now() - time;
    // A store that fails reports itself.
    inbox.setCentralTime(time).catch((error: unknown) => log.debug({ error: textOf(error) }, "Central's time"));
    if (Math.abs(aheadMs) < CLOCK_WARNING_MS || performance.now() - this.#clockWarnedAt < WARN_AGAIN_MS) return;
    this.#clockWarnedAt = performance.now();
    log.warn(
      { centralTime: new Date(time).toISOString() },
      `The clock of this host is ${Math.round(Math.abs(aheadMs) / 1000)} s ${aheadMs > 0 ? 'ahead of' : 'behind'} that of Central. Set it by a time server. Commands expire by Central's clock.`,
    );
  }

  #onState(state: LoopState): void {
    if (state.state === 'connecting') return;
    const { reason, refusedWith } = state;
    const shown = { code: reason.code, detail: reason.message, hint: reason.hint };
    this.#set({ state: state.state, stateReason: shown, central: null, connectedAt: null });
    if (shown.code === 'stopped' || shown.code === 'next_key') return;
    const facts = {
      code: shown.code,
      ...(refusedWith === undefined ? {} : { refusal: refusedWith }),
      ...(state.state === 'waiting' ? { retryInSeconds: Math.ceil(state.retryInMs / 1000) } : {}),
    };
    const line = `${shown.detail} ${shown.hint}${state.state === 'waiting' ? '' : ' Nothing more is dialed until identity, truststore or configuration change.'}`;
    // A repeated failure is logged once: an hour without a connection must not fill the disk of a branch PC. What ends
    // all dialing is always logged.
    const code = refusedWith ?? shown.code;
    if (code === this.#lastCode && state.state === 'waiting') this.#ports.log.debug(facts, line);
    else this.#ports.log.warn(facts, line);
    this.#lastCode = code;
  }

  #set(next: Omit<ConnectionStatus, 'stateChangedAt'>): void {
    const same = next.state === this.#status.state && next.stateReason?.code === this.#status.stateReason?.code;
    this.#status = {
      ...next,
      stateChangedAt: same ? this.#status.stateChangedAt : new Date(this.#ports.now()).toISOString(),
    };
  }
}

// One session of an agent at Central: a peer (shared/session/peer.ts) within the budgets of all sessions, the rate of
// its control frames, and the answers that it owes. Other sessions are central/sessions/sessions.ts's.
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Logger } from 'pino';
import { isCoded, textOf, type CodedError } from '../../shared/errors.ts';
import type { InboxPort, OutboxPort } from '../../shared/delivery/log-interfaces.ts';
import { Peer, type OtherFrame, type PeerBudget } from '../../shared/session/peer.ts';
import { isOpening, isSmallFrame, STREAM_LIMITS, STREAMS_CAPABILITY } from '../../shared/session/streams/frames.ts';
import type { Stream } from '../../shared/session/streams/stream.ts';
import { decodeFromAgent } from '../../shared/wire/codec.ts';
import type {
  AgentControl,
  AgentFrame,
  CentralControl,
  Hello,
  Position,
  SessionLimits,
} from '../../shared/wire/messages.ts';
import { refusal } from '../../shared/wire/refusals.ts';
import { endCause } from '../store/agents/state-reasons.ts';
import type { AgentCertificate } from '../store/certificate-store.ts';
import { ControlLedger } from './control-ledger.ts';
import type { OutflowBudget } from './limits/outflow-budget.ts';
import { SessionIntake, type IntakeParts } from './intake.ts';
import { SessionOutflow } from './outflow.ts';
import { TokenBucket } from '../../shared/token-bucket.ts';

/** Why a session ended: a refusal, or one of STATE_CAUSES. */
export interface EndReason extends Pick<CodedError, 'code' | 'message'> {
  /** When the state that follows from it ends by itself. */
  readonly until?: number | undefined;
}

/** `because`: what Central records, where it is not what it says to the agent. */
interface EndTerms {
  readonly retryAfterSeconds?: number;
  readonly cut?: boolean;
  readonly because?: EndReason;
}

export interface SessionFacts {
  readonly agentId: string;
  /** `AgentRecord.key` */
  readonly agentKey: number;
  readonly agentName: string;
  readonly sessionId: string;
  readonly epoch: number;
  readonly bootId: string;
  readonly version: string;
  readonly transport: 'ws' | 'wss';
  readonly listener: 'ws' | 'wss';
  /** The agent's own address, also through a named proxy. */
  readonly address: string;
  /** The other end of the TCP connection. */
  readonly peer: string;
  readonly loopback: boolean;
  /** What the agent says it can do (docs/PROTOCOL.md). */
  readonly capabilities: readonly string[];
  /** The digests of what it runs; null: not from a release. */
  readonly releases: Hello['releases'];
  readonly since: number;
  /** Central's time in the welcome, against the time since boot (AgingClock.offsetMs). */
  readonly clockOffsetMs: number;
  /** The certificate that was validated; null: the agent has authenticated with its key alone. */
  readonly certificate: AgentCertificate | null;
}

/** What all sessions share, each fairly. */
export interface SharedBudgets extends IntakeParts {
  readonly outflow: OutflowBudget;
}

interface SessionOptions {
  readonly budgets: SharedBudgets;
  readonly facts: SessionFacts;
  readonly socket: WebSocket;
  /** What carries it, for the byte counters. */
  readonly connection: Socket;
  readonly outbox: OutboxPort;
  readonly inbox: InboxPort;
  readonly limits: SessionLimits;
  readonly heartbeatMs: number;
  readonly slowPeerMs: number;
  readonly log: Logger;
  readonly now: () => number;
  readonly onEvents: (count: number) => void;
  /** A frame about certificate or trust; must not throw. */
  readonly onControl: (session: Session, frame: AgentControl) => void;
  /** Called once, when the connection is gone. */
  readonly onEnd: (session: Session, reason: EndReason) => void;
}

/**
 * Frames beside the messages: pings and pongs, pause and resume, certificate and trust, what this version does not
 * know, and all that changes nothing (an empty messages frame, an ack that acknowledges nothing new). An agent of ours
 * sends one every few seconds, and about ten when it has connected.
 */
export const CONTROL_BURST = 240;
const CONTROL_PER_SECOND = 20;
/** Such a frame counts once for each of these that it has, and once for itself. */
const CONTROL_BYTES = 1024;
/** So many pings and pongs count for one frame: they cost microseconds, and some measure the line with them. */
const PINGS_PER_FRAME = 50;
/** Frames of streams that credit does not bound: twice what an agent of ours sends (streams.ts). */
export const STREAM_BURST = 8_000;
const STREAM_PER_SECOND = 4_000;

export class Session {
  #facts: SessionFacts;
  readonly #options: SessionOptions;
  readonly #peer: Peer<AgentFrame>;
  readonly #intake: SessionIntake;
  readonly #outflow: SessionOutflow;
  readonly #answers: ControlLedger;
  readonly #rate = new TokenBucket(CONTROL_BURST, CONTROL_PER_SECOND, performance.now());
  /** Made with the first frame of a stream. */
  #streamRate: TokenBucket | undefined;
  #acknowledged = 0;
  #reason: EndReason | undefined;

  /** Takes the socket over; its handlers are attached before anything is awaited. */
  constructor(options: SessionOptions) {
    this.#facts = options.facts;
    this.#answers = new ControlLedger(options.facts.capabilities);
    this.#options = options;
    const { budgets, socket, connection, limits, heartbeatMs, slowPeerMs, now } = options;
    const intake = new SessionIntake(budgets, socket, connection, limits.maxFrameBytes, (data) =>
      this.#peer.read(data),
    );
    const outflow = new SessionOutflow(budgets.outflow.open());
    this.#intake = intake;
    this.#outflow = outflow;
    this.#peer = new Peer<AgentFrame>({
      socket,
      carrier: connection,
      hasChecksums: options.facts.transport === 'ws',
      decode: decodeFromAgent,
      outbox: outflow.bound(options.outbox),
      inbox: intake.bound(options.inbox),
      limits,
      heartbeatMs,
      slowPeerMs,
      now,
      ...streamsOf(options),
      budget: new SessionBudget(intake, outflow, this),
      onCommitted: options.onEvents,
      onFrame: (frame) => this.#onFrame(frame),
      onFailure: (error) => this.fail(error),
      onLost: (reason) => this.end(reason, { cut: true }),
      onError: (error) => {
        this.#reason = refusal('bad_frame', { found: error.message });
      },
      onClosed: (code, text) => this.#onClosed(code, text),
    });
    socket.on('ping', (data: Buffer) => this.#charge(data.length, 1 / PINGS_PER_FRAME));
    socket.on('pong', (data: Buffer) => this.#charge(data.length, 1 / PINGS_PER_FRAME));
  }

  /** False from its end on, when the connection still closes. */
  get isOpen(): boolean {
    return this.#peer.isOpen;
  }

  get facts(): SessionFacts {
    return this.#facts;
  }

  /** An administrator named the agent. */
  rename(agentName: string): void {
    this.#facts = { ...this.#facts, agentName };
  }

  /** Starts reading, and sending commands from where the agent says it is. Called after the welcome was sent. */
  start(down: Position | null): void {
    if (this.#peer.isOpen) this.#intake.open();
    this.#peer.start(down);
  }

  /** Opens a stream to the agent; undefined: as many as allowed are open, or it has none (`hasStreams`). */
  openStream(head: object): Stream | undefined {
    return this.#peer.openStream(head);
  }

  /** The agent is not older than streams. */
  get hasStreams(): boolean {
    return this.#facts.capabilities.includes(STREAMS_CAPABILITY);
  }

  /** A hint: commands may have been appended. */
  notify(): void {
    this.#peer.notify();
  }

  /** Takes no events in while this is on; the agent keeps them on its disk. */
  hold(on: boolean): void {
    this.#peer.hold(on);
  }

  /** Sends a frame about certificate or trust; nothing when the session is over. */
  sendControl(frame: CentralControl): void {
    this.#answers.sent(frame);
    this.#peer.send(frame);
  }

  /** Asks the agent to reconnect at a time that is spread over `spreadSeconds`; the close follows. */
  drain(retryAfterSeconds: number, spreadSeconds: number): void {
    this.#peer.send({ type: 'drain', retryAfterSeconds, spreadSeconds });
  }

  /** Ends the session for a reason: the text goes in the frame before (a close reason holds 123 bytes only). */
  end(reason: Error, how: EndTerms = {}): void {
    if (!this.#peer.isOpen) return;
    const coded = isCoded(reason) && reason.close !== undefined ? reason : refusal('internal', {}, reason);
    this.#peer.send({
      type: 'refuse',
      code: coded.code,
      detail: coded.message.slice(0, 1024),
      hint: coded.hint.slice(0, 1024),
      retryAfterSeconds: how.retryAfterSeconds ?? null,
    });
    this.#reason = how.because ?? coded;
    this.#leaveBudgets();
    // A flood is not read any more, not even for its close frame.
    if (coded.code === 'control_rate') this.#options.socket.pause();
    this.#peer.close(coded.close, coded.code, how.cut === true);
  }

  /** Ends the session because of an error of its own work. */
  fail(error: unknown): void {
    const reason = error instanceof Error ? error : new Error(String(error));
    if (this.#peer.isOpen)
      this.#options.log.warn(
        { agent: this.facts.agentId, session: this.facts.sessionId, error: textOf(error) },
        'session failed',
      );
    this.end(reason);
  }

  /** Counts a frame beside those with messages against the rate of the agent. False: the session is over. */
  admit(frame: AgentFrame | null, data: Buffer): boolean {
    this.#intake.done(data);
    return !this.#isCharged(frame) || this.#charge(data.length);
  }

  /** An ack of something new is bounded by what Central sent; all else costs the agent of its rate. */
  #isCharged(frame: AgentFrame | null): boolean {
    if (frame?.type !== 'ack' || frame.through <= this.#acknowledged) return true;
    this.#acknowledged = frame.through;
    return false;
  }

  /** Counts a frame beside the messages; false: that was one too many, and the session is over. */
  #charge(bytes: number, frames = 1): boolean {
    if (this.#rate.take(frames + bytes / CONTROL_BYTES, performance.now())) return true;
    this.fail(refusal('control_rate', { burst: CONTROL_BURST, perSecond: CONTROL_PER_SECOND }));
    return false;
  }

  /** Counts a frame of a stream that credit does not bound; false: that was one too many, and the session is over. */
  admitStream(data: Buffer): boolean {
    // Agents open no stream yet.
    if (isOpening(data)) return this.#charge(data.length);
    if (!isSmallFrame(data)) return true;
    const now = performance.now();
    this.#streamRate ??= new TokenBucket(STREAM_BURST, STREAM_PER_SECOND, now);
    if (this.#streamRate.take(1, now)) return true;
    this.fail(refusal('control_rate', { burst: STREAM_BURST, perSecond: STREAM_PER_SECOND }));
    return false;
  }

  #onFrame(frame: OtherFrame<AgentFrame>): void {
    if (frame.type === 'hello') return this.fail(refusal('bad_frame', { found: 'a second hello' }));
    const found = this.#answers.received(frame);
    if (found !== undefined) return this.fail(refusal('bad_frame', { found }));
    this.#options.onControl(this, frame);
  }

  #leaveBudgets(): void {
    this.#intake.close();
    this.#outflow.close();
  }

  #onClosed(code: number, text: string): void {
    // RFC 6455 section 7.1.5: 1006 stands for a connection that ended without a close frame.
    this.#reason ??=
      code === 1006 ? endCause('session_cut', {}) : endCause('session_closed', { found: `${code} ${text}`.trim() });
    this.#leaveBudgets();
    this.#options.onEnd(this, this.#reason);
  }
}

/** Agents open no stream yet. */
function streamsOf({ facts }: SessionOptions) {
  if (!facts.capabilities.includes(STREAMS_CAPABILITY)) return {};
  return {
    streams: {
      isCentral: true,
      limits: STREAM_LIMITS,
      onOpen: (stream: Stream) => stream.reset('kind_unknown'),
    },
  };
}

/** What the peer asks of the budgets. A class: a getter of its own would cost each session a kibibyte. */
class SessionBudget implements PeerBudget<AgentFrame> {
  readonly #intake: SessionIntake;
  readonly #outflow: SessionOutflow;
  readonly #session: Pick<Session, 'admit' | 'admitStream'>;

  constructor(intake: SessionIntake, outflow: SessionOutflow, session: Pick<Session, 'admit' | 'admitStream'>) {
    this.#intake = intake;
    this.#outflow = outflow;
    this.#session = session;
  }

  admit(frame: AgentFrame | null, data: Buffer): boolean {
    return this.#session.admit(frame, data);
  }

  get isPaused(): boolean {
    return this.#intake.isPaused;
  }

  take(data: Buffer): void {
    this.#intake.frame(data);
  }

  keep(data: Buffer): void {
    this.#intake.keep(data);
  }

  pass(data: Buffer): boolean {
    this.#intake.pass(data);
    return this.#session.admitStream(data);
  }

  sending(): () => void {
    return this.#outflow.sending();
  }
}

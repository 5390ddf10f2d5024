// Owns one authenticated connection from welcome to close: its frames, its heartbeat, its two logs. Decides nothing about
// other sessions; central/sessions/sessions.ts does.
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Logger } from 'pino';
import { isCoded, textOf } from '../../shared/errors.ts';
import { Receiver } from '../../shared/delivery/receiver.ts';
import { Sender } from '../../shared/delivery/sender.ts';
import type { InboxPort, OutboxPort } from '../../shared/delivery/log-interfaces.ts';
import { hasChecksum, requireChecksum, withChecksum } from '../../shared/wire/checksum.ts';
import { decodeFromAgent, encode } from '../../shared/wire/codec.ts';
import { heartbeatPort, startHeartbeat, type Heartbeat } from '../../shared/wire/heartbeat.ts';
import type {
  AgentControl,
  AgentFrame,
  CentralControl,
  CentralFrame,
  Position,
  SessionLimits,
} from '../../shared/wire/messages.ts';
import { refusal } from '../../shared/wire/refusals.ts';
import type { AgentCertificate } from '../store/certificate-store.ts';
import { ControlLedger } from './control.ts';
import type { OutflowBudget } from './limits/outflow-budget.ts';
import { SessionIntake, type IntakeParts } from './intake.ts';
import { SessionOutflow } from './outflow.ts';
import { TokenBucket } from './limits/token-bucket.ts';

export interface SessionFacts {
  readonly agentId: string;
  readonly agentName: string;
  readonly sessionId: string;
  readonly epoch: number;
  readonly bootId: string;
  readonly version: string;
  readonly transport: 'ws' | 'wss';
  readonly listener: 'plain' | 'secure';
  /** The agent's own address, also through a named proxy. */
  readonly address: string;
  /** The other end of the TCP connection. */
  readonly peer: string;
  readonly loopback: boolean;
  /** What the agent says it can do (docs/PROTOCOL.md). */
  readonly capabilities: readonly string[];
  readonly since: number;
  /** By which the agent was judged; null: it came by its key alone. */
  readonly certificate: AgentCertificate | null;
}

/** What all sessions share, each fairly. */
export interface SharedBudgets extends IntakeParts {
  readonly outflow: OutflowBudget;
}

export interface SessionOptions {
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
  /** Called once, when the connection is gone. `reason` is a refusal code or what the peer said. */
  readonly onEnd: (session: Session, reason: string) => void;
}

/** A close frame is answered within this time, or the socket is cut. */
const CLOSE_GRACE_MS = 2_000;
/** Hints can be missed only where several Centrals share a store; until then this is a safety net. */
const POLL_MS = 15_000;
/**
 * Frames beside the messages: pings and pongs, pause and resume, certificate and trust, what this version does not know, and all that
 * changes nothing (an empty messages frame, an ack that acknowledges nothing new). An agent of ours sends one every few seconds, and
 * about ten when it has connected.
 */
export const CONTROL_BURST = 240;
export const CONTROL_PER_SECOND = 20;
/** Such a frame counts once for each of these that it has, and once for itself. */
const CONTROL_BYTES = 1024;
/** So many pings and pongs count for one frame: they cost microseconds, and some measure the line with them. */
const PINGS_PER_FRAME = 50;

export class Session {
  readonly facts: SessionFacts;
  readonly #options: SessionOptions;
  readonly #socket: WebSocket;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #heartbeat: Heartbeat;
  readonly #intake: SessionIntake;
  readonly #outflow: SessionOutflow;
  readonly #answers = new ControlLedger();
  readonly #rate: TokenBucket;
  #acknowledged = 0;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #reason: string | undefined;
  #cut: NodeJS.Timeout | undefined;

  /** Takes the socket over; its handlers are attached before anything is awaited. */
  constructor(options: SessionOptions) {
    this.facts = options.facts;
    this.#options = options;
    this.#socket = options.socket;
    const frames = { send: (text: string): void => this.#send(text) };
    // A frame of messages follows what was read for it (Sender); others are small.
    const counted = { send: (text: string): void => this.#send(text, this.#outflow.sending()) };
    const { budgets, limits } = options;
    this.#rate = new TokenBucket(CONTROL_BURST, CONTROL_PER_SECOND, performance.now());
    this.#intake = new SessionIntake(budgets, options.socket, options.connection, limits.maxFrameBytes, (data) =>
      this.#read(data),
    );
    this.#outflow = new SessionOutflow(budgets.outflow.open());
    const onFailure = (error: unknown): void => this.fail(error);
    this.#sender = new Sender({
      outbox: this.#outflow.bound(options.outbox),
      frames: counted,
      limits,
      now: options.now,
      onFailure,
      pollMs: POLL_MS,
    });
    this.#receiver = new Receiver({
      inbox: this.#intake.bound(options.inbox),
      frames,
      limits,
      onFailure,
      onCommitted: options.onEvents,
    });
    this.#socket.on('message', (data: Buffer, isBinary: boolean) => this.#onMessage(data, isBinary));
    this.#socket.on('ping', (data: Buffer) => this.#charge(data.length, 1 / PINGS_PER_FRAME));
    this.#socket.on('pong', (data: Buffer) => this.#charge(data.length, 1 / PINGS_PER_FRAME));
    this.#socket.on('close', (code: number, reason: Buffer) => this.#onClose(code, reason.toString()));
    this.#socket.on('error', (error: Error) => {
      this.#reason = `bad_frame: ${error.message}`;
    });
    const port = { ...heartbeatPort(this.#socket, options.connection), isPaused: () => this.#intake.isPaused };
    this.#heartbeat = startHeartbeat(port, options.heartbeatMs, options.slowPeerMs, (end) => {
      const seconds = end.seconds;
      // The peer hears nothing or reads nothing: a close frame would not reach it, so the socket is cut at once.
      this.end(end.reason === 'silent' ? refusal('heartbeat_lost', { seconds }) : refusal('slow_peer', { seconds }), {
        cut: true,
      });
    });
  }

  /** Starts reading, and sending commands from where the agent says it is. Called after the welcome was sent. */
  start(down: Position | null): void {
    if (this.#state === 'open') this.#intake.open();
    this.#sender.start(down).catch((error: unknown) => this.fail(error));
  }

  /** A hint: commands may have been appended. */
  notify(): void {
    this.#sender.notify();
  }

  /** Takes no events in while this is on; the agent keeps them on its disk. */
  hold(on: boolean): void {
    this.#receiver.hold(on);
  }

  /** Says something about certificate or trust; nothing when the session is over. */
  sendControl(frame: CentralControl): void {
    this.#answers.sent(frame);
    this.#sendFrame(frame);
  }

  /** Tells the agent to come back spread over a time; the close follows. */
  drain(retryAfterSeconds: number, spreadSeconds: number): void {
    this.#sendFrame({ type: 'drain', retryAfterSeconds, spreadSeconds });
  }

  /** Ends the session for a reason: the text goes in the frame before (a close reason holds 123 bytes only). */
  end(reason: Error, how: { readonly retryAfterSeconds?: number; readonly cut?: boolean } = {}): void {
    if (this.#state !== 'open') return;
    const coded = isCoded(reason) && reason.close !== undefined ? reason : refusal('internal', {}, reason);
    this.#sendFrame({
      type: 'refuse',
      code: coded.code,
      detail: coded.message.slice(0, 1024),
      hint: coded.hint.slice(0, 1024),
      retryAfterSeconds: how.retryAfterSeconds ?? null,
    });
    this.#state = 'closing';
    this.#reason = coded.code;
    this.#stop();
    // What floods is not read any more, not even for its close frame.
    if (coded.code === 'control_rate') this.#socket.pause();
    this.#socket.close(coded.close, coded.code);
    if (how.cut === true) this.#socket.terminate();
    else this.#cut = setTimeout(() => this.#socket.terminate(), CLOSE_GRACE_MS);
  }

  /** Ends the session because of an error of its own work. */
  fail(error: unknown): void {
    const reason = error instanceof Error ? error : new Error(String(error));
    if (this.#state === 'open')
      this.#options.log.warn(
        { agent: this.facts.agentId, session: this.facts.sessionId, error: textOf(error) },
        'session failed',
      );
    this.end(reason);
  }

  #onMessage(data: Buffer, isBinary: boolean): void {
    if (this.#state !== 'open') return;
    // Binary frames are kept for streams; this version opens none.
    if (isBinary) return this.fail(refusal('bad_frame', { found: 'a binary frame, and no stream is open' }));
    this.#intake.frame(data);
  }

  #read(data: Buffer): void {
    if (this.#state !== 'open') return;
    try {
      const summed = hasChecksum(data);
      const frame = decodeFromAgent(data.toString('utf8'), this.#options.limits.windowItems);
      if (frame !== null && this.facts.transport === 'ws') requireChecksum(frame.type, summed);
      if (frame?.type === 'messages' && frame.items.length > 0) {
        this.#intake.keep(data, frame.first + frame.items.length - 1, frame.items.length);
        return this.#receiver.messages(frame, data.length);
      }
      this.#intake.done(data);
      if (this.#isCharged(frame) && !this.#charge(data.length)) return;
      if (frame !== null) this.#onFrame(frame, data.length);
    } catch (error) {
      this.fail(error);
    }
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

  #onFrame(frame: AgentFrame, bytes: number): void {
    switch (frame.type) {
      case 'messages':
        return this.#receiver.messages(frame, bytes);
      case 'ack':
        return this.#sender.acknowledge(frame.through);
      case 'begin':
        return this.#receiver.begin(frame);
      case 'pause':
        return this.#sender.setPaused(true);
      case 'resume':
        return this.#sender.setPaused(false);
      case 'renew':
      case 'renew-installed':
      case 'trusted':
      case 'trust-refused':
        return this.#onControl(frame);
      case 'hello':
        return this.fail(refusal('bad_frame', { found: 'a second hello' }));
    }
  }

  #onControl(frame: AgentControl): void {
    const found = this.#answers.received(frame);
    if (found !== undefined) return this.fail(refusal('bad_frame', { found }));
    this.#options.onControl(this, frame);
  }

  #sendFrame(frame: CentralFrame): void {
    this.#send(encode(frame));
  }

  #send(text: string, written?: () => void): void {
    if (this.#state === 'open') this.#socket.send(this.facts.transport === 'ws' ? withChecksum(text) : text, written);
  }

  #stop(): void {
    this.#heartbeat.stop();
    this.#sender.stop();
    this.#receiver.stop();
    this.#intake.close();
    this.#outflow.close();
  }

  #onClose(code: number, text: string): void {
    if (this.#state === 'closed') return;
    // RFC 6455 section 7.1.5: 1006 stands for a connection that ended without a close frame.
    if (this.#state === 'open')
      this.#reason ??= code === 1006 ? 'the line was cut' : `closed by the agent: ${code} ${text}`.trim();
    this.#state = 'closed';
    clearTimeout(this.#cut);
    this.#stop();
    this.#options.onEnd(this, this.#reason ?? 'closed');
  }
}

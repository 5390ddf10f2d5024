// One side of a session, from the welcome to its end, for Central and the agent alike: reads and sends frames, runs the
// two logs and the heartbeat, and closes. Certificates and trust, what a side counts, and what an end means are its
// owner's.
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { CodedError } from '../errors.ts';
import type { InboxPort, OutboxPort } from '../delivery/log-interfaces.ts';
import { Receiver } from '../delivery/receiver.ts';
import { Sender, type Priority } from '../delivery/sender.ts';
import { hasChecksum, requireChecksum, withChecksum } from '../wire/checksum.ts';
import { encode, hasMessagesHead } from '../wire/codec.ts';
import { ConnectionPort, Heartbeat } from '../wire/heartbeat.ts';
import type { AgentFrame, CentralFrame, Position, SessionLimits } from '../wire/messages.ts';
import { refusal } from '../wire/refusals.ts';
import { Outgoing } from './outgoing.ts';
import type { StreamLimits } from './streams/frames.ts';
import type { Stream } from './streams/stream.ts';
import { Streams, type StreamsOptions } from './streams/streams.ts';

/** The frames of the two logs, which the peer handles itself. */
type LogFrame = Extract<AgentFrame, { readonly type: 'begin' | 'messages' | 'ack' | 'pause' | 'resume' }>;

/** The other frames that come from one side. */
export type OtherFrame<Frame> = Exclude<Frame, LogFrame>;

/** What a side bounds beyond the protocol. Central does, across all sessions; an agent has one session. */
export interface PeerBudget<Frame> {
  /** This side leaves the socket unread at present. */
  readonly isPaused: boolean;
  /** A whole frame has come. Calls `Peer.read` with it, now or in its turn. */
  take(data: Buffer): void;
  /** A frame with messages has come; it counts until it is on disk. */
  keep(data: Buffer): void;
  /**
   * Another frame was decoded; null: this version does not know its type. False: it is not handled, since the session
   * is over.
   */
  admit(frame: Frame | null, data: Buffer): boolean;
  /**
   * A binary frame has come: it belongs to a stream, whose credit bounds what is kept. False: it is not handled, since
   * the session is over.
   */
  pass(data: Buffer): boolean;
  /** A frame of messages is sent; the result is called when the operating system has it. */
  sending(): () => void;
}

export interface PeerOptions<Frame> {
  readonly socket: WebSocket;
  /** What carries it, for the byte counters. */
  readonly carrier: Socket;
  /** Frames carry a checksum: on ws, where no TLS notices changed bytes. */
  readonly hasChecksums: boolean;
  readonly decode: (text: string, maxItems: number) => Frame | null;
  readonly outbox: OutboxPort;
  readonly inbox: InboxPort;
  readonly limits: SessionLimits;
  readonly heartbeatMs: number;
  readonly slowPeerMs: number;
  readonly now: () => number;
  readonly budget?: PeerBudget<Frame>;
  /** Absent: the other side knows no streams, and any binary frame ends the session. */
  readonly streams?: Pick<StreamsOptions, 'isCentral' | 'onOpen'> & { readonly limits: StreamLimits };
  /** So many messages are on disk. */
  readonly onCommitted?: (count: number) => void;
  /** A frame that is not about the logs. */
  readonly onFrame: (frame: OtherFrame<Frame>) => void;
  /** A log failed, or the other side broke a rule. The owner closes. */
  readonly onFailure: (error: unknown) => void;
  /** The other side is silent, or reads nothing. The owner closes, and at once: a close frame would not be read. */
  readonly onLost: (reason: CodedError) => void;
  /** The socket has failed; `onClosed` follows. */
  readonly onError: (error: Error) => void;
  /** Called once, when the connection is gone. */
  readonly onClosed: (code: number, reason: string) => void;
}

/** A close frame is answered within this time, or the socket is cut. */
const CLOSE_GRACE_MS = 2_000;
/** RFC 6455 section 7.4.1: for a reason without a close code of its own. */
const INTERNAL_ERROR = 1011;
/** Hints can be missed only where several processes share a store; until then this is a safety net. */
const POLL_MS = 15_000;

export class Peer<Frame extends AgentFrame | CentralFrame> {
  readonly #options: PeerOptions<Frame>;
  readonly #outgoing: Outgoing;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #heartbeat: Heartbeat;
  readonly #streams: Streams | undefined;
  #state: 'open' | 'closing' | 'closed' = 'open';

  /** Takes the socket over; its handlers are attached before anything is awaited. */
  constructor(options: PeerOptions<Frame>) {
    this.#options = options;
    const { socket, carrier, budget, outbox, inbox, limits, now } = options;
    this.#outgoing = new Outgoing(socket);
    const frames = { send: (text: string, priority: Priority): void => this.#sendText(text, priority) };
    const onFailure = (error: unknown): void => options.onFailure(error);
    this.#sender = new Sender({ outbox, frames, limits, now, onFailure, pollMs: POLL_MS });
    this.#receiver = new Receiver({
      inbox,
      frames,
      limits,
      onFailure,
      ...(options.onCommitted === undefined ? {} : { onCommitted: options.onCommitted }),
    });
    const { streams, hasChecksums } = options;
    if (streams !== undefined) this.#streams = new Streams({ ...streams, socket, hasChecksums });
    socket.on('message', (data: Buffer, isBinary: boolean) => this.#onMessage(data, isBinary));
    socket.on('close', (code: number, reason: Buffer) => this.#onClose(code, reason.toString()));
    socket.on('error', (error: Error) => options.onError(error));
    this.#heartbeat = new Heartbeat(
      new ConnectionPort(socket, carrier, budget),
      options.heartbeatMs,
      options.slowPeerMs,
      ({ reason, seconds }) =>
        options.onLost(refusal(reason === 'silent' ? 'heartbeat_lost' : 'slow_peer', { seconds })),
    );
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Sends messages from where the other side says it is. */
  start(position: Position | null): void {
    this.#sender.start(position).catch((error: unknown) => this.#options.onFailure(error));
  }

  /** A hint: messages may have been appended to the outbox. */
  notify(): void {
    this.#sender.notify();
  }

  /** Asks the other side to hold its messages back, or to go on. */
  hold(on: boolean): void {
    this.#receiver.hold(on);
  }

  /**
   * Opens a stream (shared/session/streams/frames.ts); undefined: as many as allowed are open, the head is larger than
   * a frame may be, or the other side knows no streams.
   */
  openStream(head: object): Stream | undefined {
    return this.#state === 'open' ? this.#streams?.open(head) : undefined;
  }

  /** Sends a control frame; nothing when the session is over. */
  send(frame: AgentFrame | CentralFrame): void {
    this.#sendText(encode(frame), 'control');
  }

  /** Decodes a frame and handles it. */
  read(data: Buffer): void {
    if (this.#state !== 'open') return;
    const { decode, limits, hasChecksums, budget } = this.#options;
    try {
      const summed = hasChecksum(data);
      // Before the begin no messages are taken: the text of the refusal names what is wrong with a frame first.
      const isKnown = this.#receiver.hasBegun && hasMessagesHead(data);
      const frame = isKnown ? 'messages' : decode(data.toString('utf8'), limits.windowItems);
      if (frame !== null && hasChecksums) requireChecksum(frame === 'messages' ? frame : frame.type, summed);
      if (frame === 'messages' || (frame?.type === 'messages' && frame.items.length > 0)) {
        budget?.keep(data);
        this.#receiver.messages(data);
      } else if (budget?.admit(frame, data) !== false && frame !== null) this.#onFrame(frame);
    } catch (error) {
      this.#options.onFailure(error);
    }
  }

  /**
   * Ends the session: sends a close frame, and cuts the connection when it was not answered in time. `cut`: at once.
   */
  close(code: number | undefined, reason: string, cut: boolean): void {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.#stop();
    closeSocket(this.#options.socket, code, reason, cut);
  }

  #onMessage(data: Buffer, isBinary: boolean): void {
    if (this.#state !== 'open') return;
    if (isBinary) this.#readStreams(data);
    else if (this.#options.budget === undefined) this.read(data);
    else this.#options.budget.take(data);
  }

  #readStreams(data: Buffer): void {
    const { budget, onFailure } = this.#options;
    if (this.#streams === undefined)
      return onFailure(refusal('bad_frame', { found: 'a binary frame, and no stream is open' }));
    if (budget?.pass(data) === false) return;
    try {
      this.#streams.receive(data);
    } catch (error) {
      onFailure(error);
    }
  }

  #onFrame(frame: AgentFrame | CentralFrame): void {
    switch (frame.type) {
      case 'messages':
        // Without items: there is nothing to write and nothing to acknowledge.
        return this.#receiver.nothing();
      case 'ack':
        return this.#sender.acknowledge(frame.through);
      case 'begin':
        return this.#receiver.begin(frame);
      case 'pause':
        return this.#sender.setPaused(true);
      case 'resume':
        return this.#sender.setPaused(false);
      default:
        // `Frame` came in, and what is left of it is not one of the cases.
        return this.#options.onFrame(frame as OtherFrame<Frame>);
    }
  }

  #sendText(text: string, priority: Priority): void {
    if (this.#state !== 'open') return;
    const { hasChecksums, budget } = this.#options;
    const whole = hasChecksums ? withChecksum(text) : text;
    this.#outgoing.send(whole, priority, priority === 'messages' ? budget?.sending() : undefined);
  }

  #onClose(code: number, reason: string): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#stop();
    this.#options.onClosed(code, reason);
  }

  #stop(): void {
    this.#heartbeat.stop();
    this.#sender.stop();
    this.#receiver.stop();
    this.#outgoing.stop();
    this.#streams?.close();
  }
}

/** Sends a close frame, and cuts the connection when the answer does not come in time. `cut`: at once. */
export function closeSocket(socket: WebSocket, code: number | undefined, reason: string, cut: boolean): void {
  socket.close(code ?? INTERNAL_ERROR, reason);
  if (cut) return socket.terminate();
  const timer = setTimeout(() => socket.terminate(), CLOSE_GRACE_MS);
  socket.once('close', () => clearTimeout(timer));
}

// One connection to Central: dials, proves who the agent is, verifies who Central is, and hands the session to a peer
// (shared/session/peer.ts). loop.ts decides when to dial again.
import { randomBytes, type X509Certificate } from 'node:crypto';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { isCoded, type CodedError } from '../../shared/errors.ts';
import type { InboxPort, OutboxPort } from '../../shared/delivery/log-interfaces.ts';
import { closeSocket, Peer, type OtherFrame } from '../../shared/session/peer.ts';
import type { Stream } from '../../shared/session/streams/stream.ts';
import { hasChecksum, withChecksum } from '../../shared/wire/checksum.ts';
import { decodeFromCentral, encode } from '../../shared/wire/codec.ts';
import {
  AGENT_PATH,
  SUBPROTOCOL,
  type CentralFrame,
  type Challenge,
  type Hello,
  type Position,
  type Trust,
  type Welcome,
} from '../../shared/wire/messages.ts';
import {
  channelBinding,
  helloTranscript,
  readPublicKey,
  signTranscript,
  trustTranscript,
  verifyTranscript,
  welcomeTranscript,
} from '../../shared/wire/proof.ts';
import { isTerminal, refusal } from '../../shared/wire/refusals.ts';
import { peerCertificate } from '../../shared/x509/certificates.ts';
import { probeTls, shownChain } from './tls-probe.ts';
import { explainDialFailure, explainHttpAnswer } from './faults.ts';
import { lineFor } from '../dial/line.ts';
import { targetName, type Target } from '../target.ts';
import type { Control } from './control.ts';
import { agentFault } from '../errors.ts';
import type { AgentKey, Identity } from '../identity/identity.ts';
import type { SoftwarePair } from '../software-slot.ts';

/**
 * Everything one attempt needs; created for each attempt, so that a corrected truststore or identity counts at once.
 */
export interface DialPlan {
  readonly target: Target;
  /** What Central is trusted by (PEM); empty only on plain. */
  readonly ca: readonly string[];
  /** Where that came from, for messages. */
  readonly truststore: string;
  readonly key: AgentKey;
  readonly identity: Identity;
  /** The key that Central may know already, with its certificate: tried first (loop.ts). */
  readonly next?: { readonly key: AgentKey; readonly identity: Identity } | undefined;
  readonly name: string;
  readonly version: string;
  readonly bootId: string;
  /** TLS ends at a proxy before Central (central.websocket.proxied): the hello is not bound to it. */
  readonly proxied: boolean;
  /** Digest of the profile's release; null: placed by hand. */
  readonly release: string | null;
  /** Of the agent's own software; absent: the launcher has not started it. */
  readonly software?: SoftwarePair | undefined;
}

export interface ConnectionPorts {
  readonly outbox: OutboxPort;
  readonly inbox: InboxPort & { position(): Promise<Position | null> };
  /** Certificate and trust (control.ts). */
  readonly control: Control;
  readonly now: () => number;
  /** Central has welcomed this agent, and nothing of the session has begun. */
  readonly onWelcome?: () => void;
  /** The session is open; `notify` is the hint that events were appended. */
  readonly onOnline: (online: OnlineSession) => void;
}

export interface OnlineSession {
  readonly sessionId: string;
  readonly epoch: number;
  /** Central's, of the welcome. */
  readonly time: number;
  readonly centralName: string;
  readonly target: Target;
  readonly heartbeatSeconds: number;
  /** What Central wants producers to hold to (parameter agents.maxMessageBytes). */
  readonly maxMessageBytes: number;
  /** A hint: events may have been appended. */
  notify(): void;
  /** Appends no commands and acknowledges none while this is on. */
  hold(on: boolean): void;
}

export interface ConnectionEnd {
  readonly reason: CodedError;
  /** The code of Central's refusal, if it said one. */
  readonly refusedWith?: string;
  /** Do not dial again until something changes. */
  readonly terminal: boolean;
  /** Not before this; 0 when Central did not say. */
  readonly retryAfterMs: number;
  /** Central, or a proxy, has too much to do: HTTP 429 or 503. */
  readonly isThrottled?: true;
  /** How long the session lived; 0 when it never was online. */
  readonly onlineMs: number;
}

/** From the first packet to the welcome. */
const DIAL_TIMEOUT_MS = 15_000;
/** Until the line is open. A moment less, so that the reason of the line comes first. */
const LINE_TIMEOUT_MS = 14_500;
/** Until Central has said its limits; beyond them the session ends by the receiver's own rules. */
const MAX_FRAME_BYTES = 16 * 1024 * 1024;
/** Heartbeats within which a Central that reads nothing has to read again. */
const SLOW_PEER_PERIODS = 4;
/** What is read of an HTTP answer that should have been an upgrade. */
const MAX_ANSWER_BYTES = 2048;
/** Another Central than ours answered: it may be a while until the right one does. */
const UNPROVEN_RETRY_MS = 60_000;

/**
 * Dials once and lives until the connection ends. Never rejects; aborting `signal` ends it, for its reason if that is
 * one of ours.
 */
export function connectOnce(plan: DialPlan, ports: ConnectionPorts, signal: AbortSignal): Promise<ConnectionEnd> {
  return new Promise((resolve) => {
    const connection = new Connection(plan, ports, resolve);
    if (signal.aborted) connection.stop();
    signal.addEventListener('abort', () => connection.stop(signal.reason), { once: true });
  });
}

/** An older Central has no streams. */
function streamsOf(
  { limits: { streamWindowBytes, connectionWindowBytes, maxStreamCount } }: Welcome,
  control: Control,
) {
  if (streamWindowBytes === undefined || connectionWindowBytes === undefined || maxStreamCount === undefined) return {};
  return {
    streams: {
      isCentral: false,
      limits: { streamWindowBytes, connectionWindowBytes, maxStreamCount },
      onOpen: (stream: Stream, open: Readonly<Record<string, unknown>>) => control.onStream(stream, open),
    },
  };
}

class Connection {
  readonly #plan: DialPlan;
  readonly #ports: ConnectionPorts;
  readonly #resolve: (end: ConnectionEnd) => void;
  readonly #socket: WebSocket;
  readonly #dialTimer: NodeJS.Timeout;
  /** Ends the attempts to open the line. */
  readonly #dialing = new AbortController();
  #state: 'dialing' | 'greeting' | 'proving' | 'online' | 'ended' = 'dialing';
  #carrier: Socket | undefined;
  #shown: X509Certificate | undefined;
  #challenge: Challenge | undefined;
  #hello: Hello | undefined;
  /** From the welcome on. */
  #peer: Peer<CentralFrame> | undefined;
  #onlineAt = 0;
  #sessionId = '';
  /** Central's last word, which comes in the frame before the close. */
  #refusal: ConnectionEnd | undefined;
  #reconnectAfterMs = 0;
  #isThrottled = false;

  constructor(plan: DialPlan, ports: ConnectionPorts, resolve: (end: ConnectionEnd) => void) {
    this.#plan = plan;
    this.#ports = ports;
    this.#resolve = resolve;
    const { target } = plan;
    const tls = {
      ca: [...plan.ca],
      allowPartialTrustChain: true,
      cert: plan.identity.certificate,
      key: plan.key.pem,
    };
    this.#socket = new WebSocket(`${targetName(target)}${AGENT_PATH}`, SUBPROTOCOL, {
      perMessageDeflate: false,
      followRedirects: false,
      maxPayload: MAX_FRAME_BYTES,
      handshakeTimeout: DIAL_TIMEOUT_MS,
      finishRequest: (request: ClientRequest) => this.#sendRequest(request),
      createConnection: lineFor(
        target,
        { timeoutMs: LINE_TIMEOUT_MS, signal: this.#dialing.signal },
        target.secure ? tls : undefined,
      ),
    });
    this.#dialTimer = setTimeout(
      () => this.#end(agentFault('connect_timeout', { target: targetName(target), seconds: DIAL_TIMEOUT_MS / 1000 })),
      DIAL_TIMEOUT_MS,
    );
    this.#socket.on('upgrade', (response: IncomingMessage) => {
      this.#carrier = response.socket;
    });
    // Not before ws has looked at the answer: it may be an upgrade to something else.
    this.#socket.on('open', () => {
      if (this.#state === 'dialing') this.#state = 'greeting';
    });
    this.#socket.on('unexpected-response', (_request, response: IncomingMessage) => this.#onHttpAnswer(response));
    this.#socket.on('error', (error: Error) => this.#onError(error));
    this.#socket.on('message', this.#onMessage);
    this.#socket.on('close', (code: number, text: Buffer) => this.#onClose(code, text.toString()));
  }

  stop(reason?: unknown): void {
    this.#end(isCoded(reason) ? reason : agentFault('stopped', {}));
  }

  /** A frame before the welcome; those behind it are the peer's. */
  readonly #onMessage = (data: Buffer, isBinary: boolean): void => {
    if (this.#state === 'ended') return;
    if (isBinary) return this.#end(refusal('bad_frame', { found: 'a binary frame, and no stream is open' }));
    try {
      // On ws the frames before the welcome may come without a checksum; one that is there has to be right.
      hasChecksum(data);
      const frame = decodeFromCentral(data.toString('utf8'));
      if (frame === null) return;
      if (frame.type === 'challenge') this.#onChallenge(frame);
      else if (frame.type === 'welcome') this.#onWelcome(frame);
      else if (frame.type === 'refuse' || frame.type === 'drain') this.#onFrame(frame);
      else this.#end(refusal('bad_frame', { found: `${frame.type} before the welcome` }));
    } catch (error) {
      this.#fail(error);
    }
  };

  #onFrame(frame: OtherFrame<CentralFrame>): void {
    switch (frame.type) {
      case 'challenge':
      case 'welcome':
        return this.#end(refusal('bad_frame', { found: `a second ${frame.type}` }));
      case 'refuse':
        this.#refusal = {
          reason: agentFault('refused', { found: `${frame.detail} (${frame.code})`, hint: frame.hint }),
          refusedWith: frame.code,
          terminal: false,
          retryAfterMs: (frame.retryAfterSeconds ?? 0) * 1000,
          onlineMs: this.#onlineMs(),
        };
        return;
      case 'renewed':
      case 'renew-refused':
      case 'renew-now':
      case 'expired-recorded':
      case 'release-offer':
      case 'release-cancel':
      case 'release-measure':
      case 'task-states-recorded':
      case 'task-cancel':
      case 'device-issued':
      case 'device-refused':
        return this.#ports.control.onFrame(frame);
      case 'trust':
        return this.#onTrust(frame);
      case 'drain':
        this.#reconnectAfterMs = frame.retryAfterSeconds * 1000 + Math.random() * frame.spreadSeconds * 1000;
        return;
    }
  }

  #onChallenge(challenge: Challenge): void {
    if (this.#state !== 'greeting') return this.#end(refusal('bad_frame', { found: 'a second challenge' }));
    this.#state = 'proving';
    this.#challenge = challenge;
    this.#ports.inbox.position().then(
      (down) => this.#sendHello(challenge, down),
      (error: unknown) => this.#fail(error),
    );
  }

  #sendHello(challenge: Challenge, down: Position | null): void {
    if (this.#state !== 'proving') return;
    const { key, identity, name, version, bootId, target, proxied, software } = this.#plan;
    let binding: string | null = null;
    if (target.secure && !proxied) {
      binding = (this.#carrier instanceof TLSSocket ? channelBinding(this.#carrier) : undefined) ?? null;
      if (binding === null) return this.#end(agentFault('binding_unavailable', { target: targetName(target) }));
    }
    const hello: Omit<Hello, 'signature'> = {
      type: 'hello',
      id: identity.id,
      name,
      key: key.publicKey,
      version,
      bootId,
      challenge: challenge.nonce,
      nonce: randomBytes(24).toString('base64url'),
      transport: target.secure ? 'wss' : 'ws',
      binding,
      releases: { profile: this.#plan.release, runtime: software?.runtime ?? null, program: software?.program ?? null },
      capabilities: [...this.#ports.control.capabilities],
      logs: { down },
    };
    this.#hello = { ...hello, signature: signTranscript(helloTranscript(challenge, hello), key.privateKey) };
    this.#socket.send(target.secure ? encode(this.#hello) : withChecksum(encode(this.#hello)));
  }

  #onWelcome(welcome: Welcome): void {
    const [hello, challenge, carrier] = [this.#hello, this.#challenge, this.#carrier];
    if (this.#state !== 'proving' || hello === undefined || challenge === undefined || carrier === undefined) {
      return this.#end(refusal('bad_frame', { found: 'a welcome that nothing asked for' }));
    }
    const signingKey = readPublicKey(this.#plan.identity.signingKey);
    if (
      signingKey === undefined ||
      !verifyTranscript(welcomeTranscript(hello, challenge.centralName, welcome), welcome.signature, signingKey)
    ) {
      return this.#end(refusal('unproven_central', {}));
    }
    this.#goOnline(welcome, challenge.centralName, carrier);
  }

  #goOnline(welcome: Welcome, centralName: string, carrier: Socket): void {
    this.#ports.onWelcome?.();
    this.#state = 'online';
    this.#sessionId = welcome.sessionId;
    this.#onlineAt = performance.now();
    clearTimeout(this.#dialTimer);
    this.#socket.off('message', this.#onMessage);
    const { target, key } = this.#plan;
    const { outbox, inbox, control, now } = this.#ports;
    const heartbeatMs = welcome.heartbeatSeconds * 1000;
    const peer = new Peer<CentralFrame>({
      socket: this.#socket,
      carrier,
      hasChecksums: !target.secure,
      decode: decodeFromCentral,
      outbox,
      inbox,
      limits: welcome.limits,
      ...streamsOf(welcome, control),
      heartbeatMs,
      slowPeerMs: heartbeatMs * SLOW_PEER_PERIODS,
      now,
      onFrame: (frame) => this.#onFrame(frame),
      onFailure: (error) => this.#fail(error),
      onLost: (reason) => this.#end(reason),
      // The listeners of the dial stay: they end the connection.
      onError: () => undefined,
      onClosed: () => undefined,
    });
    this.#peer = peer;
    this.#ports.onOnline({
      sessionId: welcome.sessionId,
      epoch: welcome.epoch,
      time: welcome.time,
      centralName,
      target,
      heartbeatSeconds: welcome.heartbeatSeconds,
      maxMessageBytes: welcome.limits.maxMessageBytes,
      notify: () => peer.notify(),
      hold: (on) => peer.hold(on),
    });
    peer.start(welcome.logs.up);
    control.onOnline((frame) => peer.send(frame), {
      key,
      time: welcome.time,
      shown: () => (carrier instanceof TLSSocket ? shownChain(carrier) : []),
      shownNow: async () => (await probeTls(target, { timeoutMs: DIAL_TIMEOUT_MS })).chain,
    });
  }

  /**
   * An attacker on a ws line could send it, and would be trusted on wss from then on: only what Central signed for this
   * session counts.
   */
  #onTrust(frame: Trust): void {
    const signingKey = readPublicKey(this.#plan.identity.signingKey);
    const proven =
      signingKey !== undefined &&
      verifyTranscript(trustTranscript(this.#sessionId, frame.pem), frame.signature, signingKey);
    if (!proven) return this.#end(refusal('unproven_central', {}));
    this.#ports.control.onFrame(frame);
  }

  #onHttpAnswer(response: IncomingMessage): void {
    let body = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      if (body.length < MAX_ANSWER_BYTES) body += chunk;
    });
    const { statusCode: status = 0, headers } = response;
    if (status === 429 || status === 503) this.#isThrottled = true;
    if (this.#isThrottled)
      this.#reconnectAfterMs = 1000 * Number(/^\d{1,3}$/.exec(headers['retry-after'] ?? '')?.[0] ?? 0);
    const done = (): void => this.#end(explainHttpAnswer(this.#plan.target, status, body));
    response.on('end', done);
    response.on('error', done);
  }

  #onError(error: Error): void {
    if (this.#state !== 'dialing')
      return this.#end(agentFault('closed', { target: targetName(this.#plan.target), found: error.message }, error));
    const { target, truststore } = this.#plan;
    if (this.#carrier !== undefined)
      return this.#end(
        agentFault(
          'no_central',
          { target: targetName(target), found: `with a wrong upgrade (${error.message})` },
          error,
        ),
      );
    this.#end(
      explainDialFailure(error, {
        target,
        truststore,
        shown: this.#shown,
        ca: this.#plan.ca,
        timeoutSeconds: DIAL_TIMEOUT_MS / 1000,
        now: new Date(this.#ports.now()),
      }),
    );
  }

  /**
   * Sends the upgrade request, and keeps the certificate that the peer shows: when it is refused, its socket forgets
   * it.
   */
  #sendRequest(request: ClientRequest): void {
    request.once('socket', (socket) => {
      // `secure` comes before Node verifies; `secureConnect` would come only for a certificate that is trusted.
      if (socket instanceof TLSSocket)
        socket.prependOnceListener('secure', () => (this.#shown = peerCertificate(socket)));
    });
    request.end();
  }

  #onClose(code: number, text: string): void {
    if (this.#state === 'ended') return;
    const target = targetName(this.#plan.target);
    const said = text === '' ? `close code ${code}` : `close code ${code} ${text}`;
    const spoken = this.#refusal;
    if (spoken !== undefined)
      return this.#finish({ ...spoken, terminal: isTerminal(code), onlineMs: this.#onlineMs() });
    this.#finish({
      reason: agentFault('closed', { target, found: code === 1006 ? 'the line was cut' : said }),
      terminal: isTerminal(code),
      retryAfterMs: 0,
      onlineMs: this.#onlineMs(),
    });
  }

  #fail(error: unknown): void {
    this.#end(
      isCoded(error)
        ? error
        : agentFault('closed', { target: targetName(this.#plan.target), found: String(error) }, error),
    );
  }

  /** Ends the connection for a reason of this side. */
  #end(reason: CodedError): void {
    if (this.#state === 'ended') return;
    const wasOpen = this.#socket.readyState === this.#socket.OPEN;
    const terminal = reason.close !== undefined && isTerminal(reason.close);
    const retryAfterMs = reason.code === 'unproven_central' ? UNPROVEN_RETRY_MS : 0;
    this.#finish({ reason, terminal, retryAfterMs, onlineMs: this.#onlineMs() });
    const code = reason.close ?? 1000;
    const cut = !wasOpen || reason.code === 'heartbeat_lost' || reason.code === 'slow_peer';
    if (this.#peer !== undefined) this.#peer.close(code, reason.code, cut);
    else if (wasOpen) closeSocket(this.#socket, code, reason.code, cut);
    else this.#socket.terminate();
  }

  #onlineMs(): number {
    return this.#onlineAt === 0 ? 0 : performance.now() - this.#onlineAt;
  }

  #finish(end: ConnectionEnd): void {
    if (this.#state === 'online') this.#ports.control.onOffline();
    this.#state = 'ended';
    this.#dialing.abort();
    clearTimeout(this.#dialTimer);
    const retryAfterMs = Math.max(end.retryAfterMs, this.#reconnectAfterMs);
    this.#resolve({ ...end, retryAfterMs, ...(this.#isThrottled ? { isThrottled: true } : {}) });
  }
}

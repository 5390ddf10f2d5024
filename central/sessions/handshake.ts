// Takes an upgraded socket to a session: challenge, hello, proof, claim, welcome; each a step below, in that order.
// Every failure becomes one refuse frame and its close code.
import { randomBytes, randomUUID, type X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import type { WebSocket } from 'ws';
import { isCoded, textOf, type CodedError } from '../../shared/errors.ts';
import { closeSocket } from '../../shared/session/peer.ts';
import { hasChecksum, withChecksum } from '../../shared/wire/checksum.ts';
import { decodeFromAgent, encode } from '../../shared/wire/codec.ts';
import { MAX_HELLO_BYTES, type Challenge, type Hello } from '../../shared/wire/messages.ts';
import { channelBinding, shownKey } from '../../shared/wire/proof.ts';
import { refusal } from '../../shared/wire/refusals.ts';
import { peerCertificate } from '../../shared/x509/certificates.ts';
import {
  claimTerms,
  proveHello,
  validateCertificate,
  validateEnabled,
  validateRegistration,
  type Authentication,
  type CertificateTerms,
} from '../auth/agent-identity.ts';
import type { Origin } from '../auth/address-rules.ts';
import { validateClientCertificate, type ClientAuth } from '../auth/client-certificate.ts';
import type { AgentRecord, Login } from '../store/agent-store.ts';
import type { AgentCertificate } from '../store/certificate-store.ts';
import type { Admission } from './admission.ts';
import type { AgentRate } from './limits/agent-rate.ts';
import type { Incidents } from '../agents/incidents.ts';
import { Proofs } from './limits/proofs.ts';
import type { RefusedHellos } from './limits/refused-hellos.ts';
import { RefusalLines } from './limits/refusal-lines.ts';
import type { ProvenHello, Sessions } from './sessions.ts';

interface HandshakeOptions {
  readonly central: string;
  readonly agents: { get(id: string): Promise<AgentRecord | undefined> };
  readonly sessions: Pick<Sessions, 'giveUp' | 'isSteady' | 'logIn' | 'welcome' | 'welcomeClaimed'>;
  readonly admission: Admission;
  /** Proven hellos of each agent. */
  readonly logins: AgentRate;
  readonly incidents: Incidents;
  readonly refused: Pick<RefusedHellos, 'record' | 'welcomed'>;
  /**
   * Returns a refusal when an agent from there is not allowed on this listener now (unencrypted or secure is off,
   * maintenance).
   */
  readonly mayStay: (listener: 'ws' | 'wss', origin: Origin) => Error | undefined;
  /** websocket.secure.clientAuth, and the issuers of agents' certificates. */
  readonly clientAuth: () => ClientAuth;
  readonly authorities: () => readonly X509Certificate[];
  /** agents.authentication and agents.certificate.graceDays. */
  readonly authentication: () => { readonly authentication: Authentication; readonly graceDays: number };
  /** By which certificates expire: a clock that jumps ahead must not end the dialing of all agents. */
  readonly certificateTime: () => number;
  readonly welcomeTimeoutMs: () => number;
  /** agents.disabledRetrySeconds. */
  readonly disabledRetrySeconds: () => number;
  readonly log: Logger;
  readonly now: () => number;
  readonly onRefused: (reason: CodedError, from: { readonly listener: 'ws' | 'wss'; readonly address: string }) => void;
}

export interface UpgradedConnection {
  readonly webSocket: WebSocket;
  readonly connection: Socket;
  readonly listener: 'ws' | 'wss';
  readonly origin: Origin;
  /** When the TCP connection was accepted, on the clock of performance.now(). */
  readonly acceptedAt: number;
  /** It is a session from here. */
  readonly onWelcome?: () => void;
}

/** Refusals that are recorded as incidents; the others are daily business. */
const RECORDED = new Set([
  'agent_key_mismatch',
  'bad_signature',
  'replayed_hello',
  'wrong_transport',
  'binding_required',
  'binding_mismatch',
  'certificate_required',
  'certificate_foreign',
  'agent_revoked',
  'certificate_expired',
]);

/** Refusals whose text says when the agent may try again. */
const IN_SECONDS = new Set(['quarantined', 'agent_login_rate', 'maintenance']);

/** RFC 6455 section 5.2: at most 14 bytes before the payload; and a ping or two. */
const FRAME_HEADER_BYTES = 256;

/** Each piece takes some 200 bytes until the frame is complete. A hello arrives in one or two. */
const MAX_HELLO_PIECES = 256;

export class Handshake {
  readonly #options: HandshakeOptions;
  readonly #lines: RefusalLines;
  readonly #proofs = new Proofs();
  /**
   * The look-ups under way that may claim a session, by agent. Another hello of the agent waits for it and is looked up
   * alone, so that `logins` has counted the one before.
   */
  readonly #claiming = new Map<string, Promise<void>>();

  constructor(options: HandshakeOptions) {
    this.#options = options;
    this.#lines = new RefusalLines(options.now);
  }

  /** Runs the handshake to a session or a refusal. Never rejects. */
  async run(upgraded: UpgradedConnection): Promise<void> {
    const { admission, log } = this.#options;
    const evicted = new AbortController();
    const place = admission.enter(upgraded.origin.address, (busy) => evicted.abort(busy));
    // A hello that we wait for may never come, so this error listener stays: a socket error without one ends the
    // process.
    upgraded.webSocket.on('error', (error) =>
      log.debug({ address: upgraded.origin.address, error: error.message }, 'socket error'),
    );
    if (!('leave' in place)) return this.#refuse(upgraded, place, null);
    let hello: Hello | null = null;
    try {
      const blocked = this.#options.mayStay(upgraded.listener, upgraded.origin);
      if (blocked !== undefined) throw blocked;
      const challenge = this.#challenge(upgraded);
      hello = await this.#hello(upgraded, evicted.signal);
      place.works();
      if (hello !== null) await this.#welcome(upgraded, hello, challenge);
    } catch (error) {
      this.#refuse(upgraded, error, hello);
    } finally {
      place.leave();
    }
  }

  #challenge({ webSocket, listener }: UpgradedConnection): Challenge {
    const challenge: Challenge = {
      type: 'challenge',
      nonce: randomBytes(24).toString('base64url'),
      centralName: this.#options.central,
      sentAt: new Date(this.#options.now()).toISOString(),
    };
    webSocket.send(listener === 'ws' ? withChecksum(encode(challenge)) : encode(challenge));
    return challenge;
  }

  /**
   * Waits for the first frame, within what is left of the time from TCP to welcome. Null when the peer left. `evicted`:
   * its place went to another connection.
   */
  #hello(upgraded: UpgradedConnection, evicted: AbortSignal): Promise<Hello | null> {
    const { webSocket, connection, acceptedAt } = upgraded;
    const timeoutMs = this.#options.welcomeTimeoutMs();
    const leftMs = Math.max(0, acceptedAt + timeoutMs - performance.now());
    return new Promise((resolve, reject) => {
      // ws holds a frame until it is complete, up to the limit of a session; a stranger gets no more room than a hello
      // needs.
      let received = 0;
      let pieces = 0;
      const onData = (chunk: Buffer): void => {
        received += chunk.length;
        pieces += 1;
        if (received > MAX_HELLO_BYTES + FRAME_HEADER_BYTES || pieces > MAX_HELLO_PIECES) webSocket.terminate();
      };
      connection.on('data', onData);
      const finish = (): void => {
        clearTimeout(timer);
        evicted.removeEventListener('abort', onEvicted);
        connection.off('data', onData);
        webSocket.off('message', onMessage);
        webSocket.off('close', onClose);
      };
      const timer = setTimeout(() => {
        finish();
        reject(refusal('hello_timeout', { seconds: Math.round(timeoutMs / 1000) }));
      }, leftMs);
      const onEvicted = (): void => {
        finish();
        reject(evicted.reason);
      };
      evicted.addEventListener('abort', onEvicted);
      const onClose = (): void => {
        finish();
        resolve(null);
      };
      const onMessage = (data: Buffer, isBinary: boolean): void => {
        finish();
        // Nothing more is read until the session is open: what follows the hello waits in the kernel, not here. What
        // came in the same packet is here already: ws emits it before anything else runs, when the session has no
        // listener yet.
        webSocket.pause();
        const onEarly = (): void =>
          reject(refusal('unsupported_protocol', { found: 'more than a hello before the welcome' }));
        webSocket.once('message', onEarly);
        setImmediate(() => {
          webSocket.off('message', onEarly);
          try {
            resolve(readHello(data, isBinary));
          } catch (error) {
            reject(error);
          }
        });
      };
      webSocket.on('message', onMessage);
      webSocket.on('close', onClose);
    });
  }

  async #welcome(upgraded: UpgradedConnection, hello: Hello, challenge: Challenge): Promise<void> {
    const { webSocket, connection, listener, origin } = upgraded;
    const { logins } = this.#options;
    // Before the signature is verified, so that a storm costs little; the agent itself would be refused now too.
    if (logins.secondsUntilAllowed(hello.id) > 0) throw this.#tooOften(hello.id);
    const binding = connection instanceof TLSSocket ? (channelBinding(connection) ?? null) : null;
    const key = await this.#proofs.run(() => proveHello(hello, challenge, { listener, origin, binding }));
    if (webSocket.readyState !== webSocket.OPEN) return;
    const proven = {
      hello,
      sessionId: randomUUID(),
      keyThumbprint: key.thumbprint,
      webSocket,
      connection,
      listener,
      origin,
    };
    const certificateTerms = { ...this.#options.authentication(), now: this.#options.certificateTime() };
    const login = await this.#lookUp(proven, certificateTerms);
    if (login.kind === 'claimed') {
      // It was allowed when the look-up began: only one that was looked up alone can have come in between.
      if (!logins.take(hello.id)) {
        await this.#options.sessions.giveUp(proven, login.claimed);
        throw this.#tooOften(hello.id);
      }
      await this.#options.sessions.welcomeClaimed({ ...proven, certificate: login.certificate }, login.claimed);
    } else {
      const agent = validateRegistration(hello, key, login.agent);
      const certificate = validateCertificate(agent, key, certificateTerms);
      this.#validateClientCertificate(proven, certificate, certificateTerms.now);
      if (!logins.take(agent.id)) throw this.#tooOften(agent.id);
      validateEnabled(agent);
      await this.#options.sessions.welcome({ ...proven, certificate }, agent);
    }
    this.#options.refused.welcomed(proven);
    upgraded.onWelcome?.();
  }

  /** Looks the agent up, and claims its session in the same call where its record has nothing else to decide. */
  async #lookUp(proven: ProvenHello, terms: CertificateTerms): Promise<Login> {
    const { agents, sessions } = this.#options;
    const { id } = proven.hello;
    const claiming = this.#claiming.get(id);
    const isPlain =
      sessions.isSteady(proven.hello) &&
      claiming === undefined &&
      this.#options.logins.secondsUntilAllowed(id) === 0 &&
      this.#hasOwnCertificate(proven, terms.now);
    if (!isPlain) {
      await claiming;
      return { kind: 'found', agent: await agents.get(id) };
    }
    const login = sessions.logIn(proven, claimTerms(terms));
    this.#claiming.set(
      id,
      login.then(
        () => undefined,
        () => undefined,
      ),
    );
    try {
      return await login;
    } finally {
      this.#claiming.delete(id);
    }
  }

  /** True when the client certificate is good, whatever is on record. */
  #hasOwnCertificate(proven: ProvenHello, now: number): boolean {
    try {
      this.#validateClientCertificate(proven, null, now);
      return true;
    } catch {
      // The record may say otherwise; and other refusals come first.
      return false;
    }
  }

  #validateClientCertificate(
    { hello, listener, connection }: ProvenHello,
    own: AgentCertificate | null,
    now: number,
  ): void {
    const mode = this.#options.clientAuth();
    if (listener !== 'wss' || mode === 'none') return;
    const shown = connection instanceof TLSSocket ? peerCertificate(connection) : undefined;
    const publicKey = shownKey(hello.key);
    validateClientCertificate(mode, shown, { publicKey, own, authorities: this.#options.authorities, now });
  }

  #tooOften(id: string): Error {
    return refusal('agent_login_rate', { id, seconds: Math.max(1, this.#options.logins.secondsUntilAllowed(id)) });
  }

  #logRefusal({ code, message: text }: CodedError, address: string, hello: Hello | null): void {
    const { log, logins } = this.#options;
    const isNews = code !== 'agent_login_rate' || logins.isNews(hello?.id ?? '');
    const unlogged = isNews ? this.#lines.take(address) : undefined;
    const about = { address, agent: hello?.id, code, text };
    if (unlogged === undefined) log.debug(about, 'agent refused');
    else log.info(unlogged === 0 ? about : { ...about, refusalsNotLogged: unlogged }, 'agent refused');
  }

  #retryAfterSeconds({ code, parameters }: CodedError): number | null {
    const { admission, disabledRetrySeconds } = this.#options;
    if (code === 'busy' || code === 'internal') return admission.retryAfterSeconds();
    if (code === 'agent_disabled') return disabledRetrySeconds();
    return IN_SECONDS.has(code) ? Number(parameters['seconds']) : null;
  }

  #refuse(upgraded: UpgradedConnection, error: unknown, hello: Hello | null): void {
    const { webSocket, origin, listener } = upgraded;
    const { log, onRefused, incidents, now } = this.#options;
    const reason: CodedError = isCoded(error) && error.close !== undefined ? error : refusal('internal', {}, error);
    if (reason.code === 'internal') log.error({ address: origin.address, error: textOf(error) }, 'handshake failed');
    else this.#logRefusal(reason, origin.address, hello);
    // `busy` has a cause that tells an administrator more than the agent.
    onRefused(reason.code === 'busy' && isCoded(reason.cause) ? reason.cause : reason, {
      listener,
      address: origin.address,
    });
    if (hello !== null) this.#options.refused.record(hello, reason);
    if (RECORDED.has(reason.code)) {
      incidents.record({
        kind: reason.code,
        agentId: hello?.id ?? null,
        address: origin.address,
        at: now(),
        detail: { listener, name: hello?.name ?? null, text: reason.message },
      });
    }
    webSocket.resume();
    if (webSocket.readyState !== webSocket.OPEN) return;
    webSocket.send(
      encode({
        type: 'refuse',
        code: reason.code,
        detail: reason.message.slice(0, 1024),
        hint: reason.hint.slice(0, 1024),
        retryAfterSeconds: this.#retryAfterSeconds(reason),
      }),
    );
    closeSocket(webSocket, reason.close, reason.code, false);
  }
}

function readHello(data: Buffer, isBinary: boolean): Hello {
  if (isBinary || data.length > MAX_HELLO_BYTES)
    throw refusal('unsupported_protocol', { found: isBinary ? 'a binary frame' : `a frame of ${data.length} bytes` });
  // A hello that was altered on the line would be refused for its signature, and the agent would not retry.
  hasChecksum(data);
  let frame;
  try {
    frame = decodeFromAgent(data.toString('utf8'));
  } catch (error) {
    throw refusal(
      'unsupported_protocol',
      { found: isCoded(error, 'bad_frame') ? String(error.parameters['found']) : textOf(error) },
      error,
    );
  }
  if (frame?.type !== 'hello')
    throw refusal('unsupported_protocol', {
      found: frame === null ? 'a frame of an unknown type' : `a frame of type ${frame.type}`,
    });
  return frame;
}

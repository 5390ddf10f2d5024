// The network checks of the doctor: name resolution, TCP, the presented certificates, the first frame. Each returns
// what it found or throws the agent fault for it. Does not know who this agent is.
import type { X509Certificate } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import type { IncomingMessage } from 'node:http';
import { connect, isIP } from 'node:net';
import { performance } from 'node:perf_hooks';
import { WebSocket } from 'ws';
import { isCoded, type CodedError } from '../../shared/errors.ts';
import { decodeFromCentral } from '../../shared/wire/codec.ts';
import { AGENT_PATH, MAX_HELLO_BYTES, SUBPROTOCOL, type Challenge } from '../../shared/wire/messages.ts';
import { probeTls, type TlsProbe } from '../connection/tls-probe.ts';
import { explainDialFailure, explainHttpAnswer } from '../connection/faults.ts';
import { lineFor, openLine } from '../dial/line.ts';
import { targetName, type Target } from '../target.ts';
import { agentFault } from '../errors.ts';

export interface LineOptions {
  /** For messages. */
  readonly truststore: string;
  readonly timeoutMs: number;
  readonly now: () => Date;
}

const MAX_ANSWER_BYTES = 2048;

function explain(
  error: unknown,
  target: Target,
  { truststore, timeoutMs, now }: LineOptions,
  shown?: X509Certificate,
): CodedError {
  return explainDialFailure(error, { target, truststore, shown, timeoutSeconds: timeoutMs / 1000, now: now() });
}

/** The addresses of the host, as the system gives them. Throws host_unknown. */
export async function resolveHost(target: Target, options: LineOptions): Promise<string[]> {
  if (isIP(target.host) !== 0) return [target.host];
  try {
    return (await lookup(target.host, { all: true })).map(({ address }) => address);
  } catch (error) {
    throw explain(error, target, options);
  }
}

interface Reached {
  readonly address: string;
  readonly from: string;
  readonly afterMs: number;
  /** Addresses that were tried before it, and why they did not do. */
  readonly failed: readonly string[];
}

/** The first address that takes a TCP connection. Throws what the last of them said. */
export async function reachHost(target: Target, addresses: readonly string[], options: LineOptions): Promise<Reached> {
  const failed: string[] = [];
  let last: unknown = new Error('it has no address');
  for (const address of addresses) {
    const begun = performance.now();
    try {
      const from = await touch(address, target.port, options.timeoutMs);
      return { address, from, afterMs: Math.round(performance.now() - begun), failed };
    } catch (error) {
      last = error;
      failed.push(`${address}: ${explain(error, target, options).message}`);
    }
  }
  throw explain(last, target, options);
}

/** Connects through the proxy and hangs up; after how many milliseconds. Throws the fault of the proxy. */
export async function reachThroughProxy(target: Target, options: LineOptions): Promise<number> {
  const begun = performance.now();
  try {
    (await openLine(target, options)).destroy();
  } catch (error) {
    throw explain(error, target, options);
  }
  return Math.round(performance.now() - begun);
}

/** Connects and hangs up; the address on this side. */
function touch(host: string, port: number, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const timer = setTimeout(
      () => socket.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })),
      timeoutMs,
    );
    socket.once('connect', () => {
      resolve(socket.localAddress ?? '');
      socket.destroy();
    });
    socket.once('error', reject);
    socket.once('close', () => clearTimeout(timer));
  });
}

/** What the host shows in TLS. Throws tls_plain_port, tls_old_protocol (with what it offers instead) and the like. */
export async function probeHost(target: Target, options: LineOptions): Promise<TlsProbe> {
  const { timeoutMs } = options;
  try {
    return await probeTls(target, { timeoutMs });
  } catch (error) {
    const fault = explain(error, target, options);
    // Node has no other way to learn what an old peer speaks than to shake hands with it; nothing is said.
    if (fault.code === 'tls_plain_port' || fault.code === 'no_central' || fault.code === 'connect_timeout') throw fault;
    // A second failure there reveals nothing more: the first fault is reported.
    const old = await probeTls(target, { timeoutMs, oldest: 'TLSv1' }).catch(() => undefined);
    if (old === undefined || old.protocol === 'TLSv1.3') throw fault;
    throw agentFault('tls_old_protocol', { target: `${targetName(target)} (it speaks ${old.protocol})` }, error);
  }
}

/**
 * The clock of a host whose certificate cannot be verified by its dates, by the Date header of an answer (RFC 9110
 * section 6.6.1). Asked in plain, outside of TLS: web servers and Central answer that their port speaks TLS, and with
 * it the time. Nothing is said that not everybody may say, and the answer proves nothing: it serves as a hint.
 * Undefined when no clock answers.
 */
export async function askForDate(target: Target, timeoutMs: number): Promise<Date | undefined> {
  const { host } = target;
  // Best effort: the fault is reported without it too.
  const socket = await openLine(target, { timeoutMs }).catch(() => undefined);
  if (socket === undefined) return undefined;
  return await new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(), timeoutMs);
    let text = '';
    socket.write(`HEAD / HTTP/1.1\r\nHost: ${host.includes(':') ? `[${host}]` : host}\r\nConnection: close\r\n\r\n`);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (text.length > MAX_ANSWER_BYTES || text.includes('\r\n\r\n')) socket.destroy();
    });
    // `close` follows, and what has come until then is read: the question is about a hint only.
    socket.on('error', () => undefined);
    socket.once('close', () => {
      clearTimeout(timer);
      const date = new Date(/^date: (.+)$/im.exec(text)?.[1] ?? '');
      resolve(Number.isNaN(date.getTime()) ? undefined : date);
    });
  });
}

/**
 * Opens the WebSocket as an agent does, verified in full, takes the challenge, and hangs up without a hello: Central
 * counts no agent and ends no session for it. Throws the fault that prevents it.
 */
export async function readChallenge(target: Target, ca: readonly string[], options: LineOptions): Promise<Challenge> {
  try {
    return await firstFrame(target, ca, options);
  } catch (error) {
    const fault = isCoded(error) ? error : explain(error, target, options);
    if (target.secure || fault.code === 'refused') throw fault;
    // Whatever plain met there: if the port speaks TLS, that is the cause; if it does not, the first fault is reported.
    const look = await probeTls({ ...target, secure: true }, { timeoutMs: options.timeoutMs }).catch(() => undefined);
    throw look === undefined ? fault : agentFault('plain_on_secure_port', { target: targetName(target) }, error);
  }
}

function firstFrame(target: Target, ca: readonly string[], options: LineOptions): Promise<Challenge> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${targetName(target)}${AGENT_PATH}`, SUBPROTOCOL, {
      perMessageDeflate: false,
      followRedirects: false,
      maxPayload: MAX_HELLO_BYTES,
      handshakeTimeout: options.timeoutMs,
      createConnection: lineFor(
        target,
        options,
        target.secure ? { ca: [...ca], allowPartialTrustChain: true } : undefined,
      ),
    });
    const silent = agentFault('no_central', {
      target: targetName(target),
      found: `with a WebSocket that says nothing within ${options.timeoutMs / 1000} seconds`,
    });
    let timer: NodeJS.Timeout | undefined;
    const end = (outcome: () => void): void => {
      clearTimeout(timer);
      outcome();
      socket.removeAllListeners();
      // Nothing after the answer matters.
      socket.on('error', () => undefined);
      if (socket.readyState === socket.OPEN) socket.close(1000);
      else socket.terminate();
    };
    socket.once('open', () => (timer = setTimeout(() => end(() => reject(silent)), options.timeoutMs)));
    socket.once('unexpected-response', (_request, response: IncomingMessage) => {
      void bodyOf(response).then((body) =>
        end(() => reject(explainHttpAnswer(target, response.statusCode ?? 0, body))),
      );
    });
    socket.once('error', (error) => end(() => reject(error)));
    socket.once('close', (code: number) =>
      end(() => reject(agentFault('closed', { target: targetName(target), found: `close code ${code}` }))),
    );
    socket.once('message', (data: Buffer, isBinary: boolean) => {
      end(() => {
        try {
          const frame = isBinary ? null : decodeFromCentral(data.toString('utf8'));
          if (frame?.type === 'challenge') resolve(frame);
          else if (frame?.type === 'refuse')
            reject(agentFault('refused', { found: `${frame.detail} (${frame.code})`, hint: frame.hint }));
          else
            reject(
              agentFault('no_central', {
                target: targetName(target),
                found: 'with a WebSocket that does not begin with a challenge',
              }),
            );
        } catch (error) {
          reject(
            agentFault(
              'no_central',
              { target: targetName(target), found: 'with a WebSocket that speaks another language' },
              error,
            ),
          );
        }
      });
    });
  });
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  let body = '';
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      body += chunk.toString('utf8');
      if (body.length > MAX_ANSWER_BYTES) break;
    }
  } catch {
    // A truncated answer counts as far as it was received.
  }
  return body;
}

// Opens streams at other nodes: one request for each stream, over a connection that both nodes have proven themselves on
// (TLS 1.3, certificates of nodes by Central's authority). Connections are kept for the next stream.
import type { IncomingMessage } from 'node:http';
import type { Agent } from 'node:https';
import { isIP } from 'node:net';
import type { PeerCertificate } from 'node:tls';
import { systemCode, textOf } from '../../shared/errors.ts';
import { readBoundedStream } from '../../shared/files/bounded-stream.ts';
import { StreamReset } from '../../shared/session/streams/stream.ts';
import type { NodeIdentity } from '../../shared/wire/names.ts';
import { TLS_PROTOCOL } from '../pki/tls-protocol.ts';
import type { Authority } from '../pki/authority/authority.ts';
import { readCertificate, unreadableReason } from '../../shared/x509/certificates.ts';
import type { NodeRecord } from '../store/nodes/node-store.ts';
import { forwardingFault } from './errors.ts';
import { nodeShown, type NodeCertificate } from './node-certificate.ts';
import { NODE_LOST, NodeStream } from './node-stream.ts';

/** Where streams are opened at a node. */
export const STREAMS_PATH = '/streams';
/** Until the other node has the stream or refuses it. */
const ANSWER_MS = 10_000;
/** Kept for the next streams, for each node; each is 50 KiB at both ends. */
const MAX_FREE_SOCKETS = 32;
const MAX_PROBLEM_BYTES = 16 * 1024;

/** Who is behind a stream, as the node has established that the caller has reached. */
export interface StreamCaller {
  /** An API token, the name in a certificate, or an address. */
  readonly who: string;
  readonly from: string;
}

export interface StreamOrder {
  readonly agentId: string;
  readonly caller: StreamCaller;
  /** The OPEN of the stream to the agent. */
  readonly open: object;
}

/** Why another node did not open a stream: codes of its RESET. */
const REFUSED = ['agent_elsewhere', 'agent_too_old', 'streams_full'] as const;
type Refused = (typeof REFUSED)[number];

interface NodeCallsOptions {
  readonly self: NodeIdentity;
  readonly certificate: Pick<NodeCertificate, 'credentials'>;
  readonly authority: Pick<Authority, 'generations' | 'pem'>;
  readonly answerMs?: number;
}

export class NodeCalls {
  readonly #options: NodeCallsOptions;
  /** By the address of the node. */
  readonly #agents = new Map<string, Agent>();

  constructor(options: NodeCallsOptions) {
    this.#options = options;
  }

  /** The stream, or why that node does not open it. Errors: node_unreachable, node_address_missing. */
  async open(node: NodeRecord, order: StreamOrder): Promise<NodeStream | Refused> {
    const { address } = node;
    if (address === null) throw forwardingFault('node_address_missing', { node: node.name });
    const failed = (found: string, cause?: unknown): Error =>
      forwardingFault('node_unreachable', { node: node.name, address, found }, cause);
    const { agentId, caller, open } = order;
    const line = this.#line(node, address, failed);
    if (!line.stream.sendOpen({ by: this.#options.self.name, agent: agentId, caller, open })) {
      line.stream.destroy();
      throw failed('the request has too many headers');
    }
    return await line.opened;
  }

  /** Of nodes that are not there any more, too. */
  stop(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  /** Connections to other addresses than these are closed when they are free. */
  keep(addresses: ReadonlySet<string>): void {
    for (const [address, agent] of this.#agents) {
      if (addresses.has(address)) continue;
      agent.destroy();
      this.#agents.delete(address);
    }
  }

  #line(node: NodeRecord, address: string, failed: (found: string, cause?: unknown) => Error) {
    const https = process.getBuiltinModule('node:https');
    const request = https.request(new URL(STREAMS_PATH, address), {
      method: 'POST',
      agent: this.#agentOf(address),
      headers: { 'content-type': 'application/octet-stream' },
      ...this.#tls(node),
    });
    request.setNoDelay(true);
    const stream = new NodeStream({ output: request, cut: () => request.destroy() });
    const opened = new Promise<NodeStream | Refused>((resolve, reject) => {
      const fail = (found: string, cause?: unknown): void => {
        reject(failed(found, cause));
        stream.destroy();
        request.destroy();
      };
      const { answerMs = ANSWER_MS } = this.#options;
      const timer = setTimeout(() => fail(`no answer within ${answerMs / 1000} s`), answerMs);
      stream.once('opened', () => resolve(stream));
      // Before `error` of the stream, which says less.
      request.prependListener('error', (error) => fail(systemCode(error) ?? textOf(error), error));
      request.once('response', (response) => {
        if (response.statusCode === 200) stream.from(response);
        else void problemIn(response).then((found) => fail(found));
      });
      stream.once('error', (error) => {
        const code = error instanceof StreamReset ? error.reset : NODE_LOST;
        const refused = REFUSED.find((known) => known === code);
        if (refused !== undefined) resolve(refused);
        else if (request.errored === null) fail(code === NODE_LOST ? 'the connection ended' : code, error);
      });
      stream.once('close', () => clearTimeout(timer));
      stream.once('opened', () => clearTimeout(timer));
    });
    return { stream, opened };
  }

  #agentOf(address: string): Agent {
    const known = this.#agents.get(address);
    if (known !== undefined) return known;
    const { Agent: HttpsAgent } = process.getBuiltinModule('node:https');
    const agent = new HttpsAgent({ keepAlive: true, maxFreeSockets: MAX_FREE_SOCKETS, maxCachedSessions: 0 });
    this.#agents.set(address, agent);
    return agent;
  }

  /** Not by its host name, which its certificate does not have: it must be this very node. */
  #tls(node: NodeRecord) {
    const { authority, certificate } = this.#options;
    const { key, chain } = certificate.credentials;
    return {
      ...TLS_PROTOCOL,
      minVersion: 'TLSv1.3',
      ca: authority.pem,
      key,
      cert: chain,
      servername: isIP(node.name) === 0 ? node.name : '',
      checkServerIdentity: (_host: string, peer: PeerCertificate): Error | undefined => {
        const unreadable = unreadableReason(peer.raw);
        if (unreadable !== undefined) return new Error(unreadable);
        const shown = nodeShown(readCertificate(peer.raw), authority);
        if (typeof shown === 'string') return new Error(shown);
        return shown.name === node.name && shown.generation >= node.generation
          ? undefined
          : new Error(`the certificate is that of the node ${shown.name} (process ${shown.generation})`);
      },
    } as const;
  }
}

/** What the other node says of a request that it refuses. */
async function problemIn(response: IncomingMessage): Promise<string> {
  try {
    const value: unknown = JSON.parse(
      (await readBoundedStream(response, MAX_PROBLEM_BYTES, () => new RangeError('too long'))).toString('utf8'),
    );
    const detail = typeof value === 'object' && value !== null && 'detail' in value ? value.detail : undefined;
    if (typeof detail === 'string') return detail;
  } catch {
    // Not a node, or not readable: the status says enough.
  }
  return `HTTP status ${response.statusCode ?? 0}`;
}

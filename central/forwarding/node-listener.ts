// The port for other nodes (node.address): opens streams to agents whose sessions are here. Nothing else is served there,
// and only a node of this Central that is alive is served.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Server as TlsServer, TLSSocket } from 'node:tls';
import { StreamReset } from '../../shared/session/streams/stream.ts';
import { createServer } from '../../shared/http/node-http.ts';
import { peerCertificate } from '../../shared/x509/certificates.ts';
import { Places } from '../auth/places.ts';
import { Connections } from '../listeners/accept/connections.ts';
import { hasIpv6, openBinding, type Binding } from '../listeners/bind.ts';
import { endWithProblem, refuseUnreadable } from '../listeners/problem.ts';
import { createNodeTlsServer, swapNodeCredentials } from '../listeners/tls.ts';
import type { Authority } from '../pki/authority/authority.ts';
import type { Session } from '../sessions/session.ts';
import type { NodeRecord } from '../store/nodes/node-store.ts';
import { forwardingFault } from './errors.ts';
import { STREAMS_PATH, type StreamCaller } from './node-calls.ts';
import { nodeShown, type NodeCertificate } from './node-certificate.ts';
import { NodeStream } from './node-stream.ts';

/** Streams of one node at once: as many as one node passes on in all. */
const MAX_STREAMS_OF_NODE = 1_000;
/** Connections that have not shown yet that they are those of a node. */
const MAX_PENDING = 64;
const DEADLINE_MS = 10_000;
const KEEP_ALIVE_MS = 30_000;
/** A node whose host vanishes is noticed by it. */
const PROBE_MS = 15_000;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_ID = 255;

interface NodeListenerOptions {
  readonly port: number;
  /** Empty: all. */
  readonly bindAddresses: readonly string[];
  readonly certificate: Pick<NodeCertificate, 'credentials'>;
  readonly authority: Pick<Authority, 'generations' | 'pem'>;
  readonly nodes: () => readonly NodeRecord[];
  readonly sessions: { of(agentId: string): Pick<Session, 'hasStreams' | 'isOpen' | 'openStream'> | undefined };
  readonly log: { debug(facts: object, text: string): void };
}

interface Order {
  /** The node that the caller has reached. */
  readonly by: string;
  readonly agentId: string;
  readonly caller: StreamCaller;
  readonly open: object;
}

export class NodeListener {
  readonly #options: NodeListenerOptions;
  readonly #http: Server;
  readonly #tls: TlsServer;
  readonly #connections: Connections;
  /** By the name of the node that has opened them. */
  readonly #streams = new Map<string, number>();
  #trusted: string;
  #binding: Binding | undefined;

  constructor(options: NodeListenerOptions) {
    this.#options = options;
    const { certificate, authority, log } = options;
    this.#http = createServer({
      headersTimeout: DEADLINE_MS,
      requestTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: 1000,
      maxHeaderSize: MAX_HEADER_BYTES,
    });
    this.#trusted = authority.pem;
    this.#tls = createNodeTlsServer(certificate.credentials, DEADLINE_MS, this.#trusted);
    this.#connections = new Connections({
      http: this.#http,
      tls: this.#tls,
      deadlineMs: () => DEADLINE_MS,
      places: new Places(() => MAX_PENDING),
      onFailure: (fault, address) => log.debug({ cause: fault.code, address }, 'a handshake failed'),
    });
    this.#http.on('clientError', (error, socket) => refuseUnreadable(error, socket as Socket, MAX_HEADER_BYTES));
    this.#http.on('request', (request, response) => this.#serve(request, response));
  }

  /** Undefined: it is not bound. */
  get port(): number | undefined {
    return this.#binding?.port;
  }

  /** Errors: port_taken, port_refused. */
  async start(): Promise<void> {
    const { port, bindAddresses } = this.#options;
    const everywhere = hasIpv6() ? ['::'] : ['0.0.0.0'];
    const addresses = bindAddresses.length === 0 ? everywhere : bindAddresses;
    this.#binding = await openBinding({ listener: 'other nodes', addresses, port }, (socket) => this.#accept(socket));
  }

  /** New handshakes show the present certificate. */
  show(): void {
    const { certificate, authority } = this.#options;
    this.#trusted = authority.pem;
    swapNodeCredentials(this.#tls, certificate.credentials, this.#trusted);
  }

  /** Its streams end. */
  stop(): void {
    this.#binding?.close();
    this.#binding = undefined;
    this.#connections.destroyAll();
    this.#http.close();
  }

  #accept(socket: Socket): void {
    // Another generation of the authority may sign for nodes since.
    if (this.#options.authority.pem !== this.#trusted) this.show();
    this.#connections.accept(socket);
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const node = this.#callerOf(socket as TLSSocket);
    const found =
      typeof node === 'string'
        ? node
        : request.method === 'POST' && request.url === STREAMS_PATH
          ? undefined
          : `${request.method ?? ''} ${(request.url ?? '').slice(0, 64)} is not served`;
    if (typeof node === 'string' || found !== undefined) {
      const refused = found ?? '';
      // Not louder: each stranger can cause it, and a node that is refused says so to its caller.
      this.#options.log.debug({ address: socket.remoteAddress, found: refused }, 'a call to this node was refused');
      response.once('finish', () => socket.destroySoon());
      return endWithProblem(response, forwardingFault('node_caller_refused', { found: refused }));
    }
    this.#connections.upgraded(socket);
    socket.setKeepAlive(true, PROBE_MS);
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    response.flushHeaders();
    const line = new NodeStream({ output: response, cut: () => socket.destroy() });
    const timer = setTimeout(() => line.reset('silent'), DEADLINE_MS);
    line.once('close', () => clearTimeout(timer));
    const nothingCame = (): void => line.reset('order_invalid');
    request.once('end', nothingCame);
    line.once('open', (value: Readonly<Record<string, unknown>>) => {
      clearTimeout(timer);
      request.off('end', nothingCame);
      this.#open(line, node.name, value);
    });
    line.from(request);
  }

  /** The node, or why there is none. */
  #callerOf(socket: TLSSocket): NodeRecord | string {
    const { authority, nodes } = this.#options;
    const certificate = peerCertificate(socket);
    if (certificate !== undefined && !socket.authorized)
      return `the certificate is not accepted (${String(socket.authorizationError)})`;
    const shown = nodeShown(certificate, authority);
    if (typeof shown === 'string') return shown;
    const node = nodes().find(({ name }) => name === shown.name);
    if (node?.state !== 'alive') return `the node ${shown.name} is ${node?.state ?? 'unknown'}`;
    // A process that was given up, or replaced by another one of its name.
    return shown.generation < node.generation
      ? `the certificate is that of an earlier process (${shown.generation}) of the node ${shown.name}; alive is ${node.generation}`
      : node;
  }

  #open(line: NodeStream, node: string, value: Readonly<Record<string, unknown>>): void {
    const order = orderIn(value);
    if (order === undefined) return line.reset('order_invalid');
    // Once, and by the node that the caller has reached: only of that one it is known who the caller is.
    if (order.by !== node) return line.reset('forwarded_already');
    const session = this.#options.sessions.of(order.agentId);
    if (session?.isOpen !== true) return line.reset('agent_elsewhere');
    if (!session.hasStreams) return line.reset('agent_too_old');
    const open = this.#streams.get(node) ?? 0;
    const stream = open >= MAX_STREAMS_OF_NODE ? undefined : session.openStream(order.open);
    if (stream === undefined) return line.reset('streams_full');
    this.#streams.set(node, open + 1);
    this.#options.log.debug({ agent: order.agentId, node, ...order.caller }, 'a stream for another node');
    stream.once('close', () => {
      const left = (this.#streams.get(node) ?? 1) - 1;
      if (left === 0) this.#streams.delete(node);
      else this.#streams.set(node, left);
      const { errored } = stream;
      if (errored !== null) line.reset(errored instanceof StreamReset ? errored.reset : 'session_ended');
    });
    line.once('close', () => stream.destroy());
    line.sendOpened();
    stream.once('head', (head: object) => line.sendHead(head));
    stream.pipe(line);
    line.pipe(stream);
  }
}

function orderIn({ by, agent, caller, open }: Readonly<Record<string, unknown>>): Order | undefined {
  const known = callerIn(caller);
  if (typeof by !== 'string' || typeof agent !== 'string' || agent.length > MAX_ID) return undefined;
  if (known === undefined || typeof open !== 'object' || open === null) return undefined;
  return { by, agentId: agent, caller: known, open };
}

function callerIn(value: unknown): StreamCaller | undefined {
  if (typeof value !== 'object' || value === null || !('who' in value) || !('from' in value)) return undefined;
  const { who, from } = value;
  return typeof who === 'string' && typeof from === 'string' ? { who, from } : undefined;
}

// Creates the four Fastify instances and the servers that feed them: ws and wss for agents, HTTPS and HTTP for
// the administration. They live as long as the process; reconcile.ts decides which ports feed them.
import type { X509Certificate } from 'node:crypto';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import type { FastifyInstance } from 'fastify';
import type { CodedError } from '../../shared/errors.ts';
import { PLAIN_AT_ONCE, ReadTurns } from '../../shared/http/read-turns.ts';
import type { Handshake } from '../sessions/handshake.ts';
import { originOf } from '../auth/address-rules.ts';
import { Places } from '../auth/places.ts';
import type { AddressAccess, AddressSet } from '../parameters/address-access.ts';
import { createAgentSocketApp, type EnrollmentPort } from './agent-socket.ts';
import { Connections } from './accept/connections.ts';
import type { DownloadsPort } from './downloads/routes.ts';
import { createHttpServer, type OnUnexpected } from './http.ts';
import type { Descriptors } from './limits/descriptors.ts';
import { RequestGate } from './limits/request-gate.ts';
import { RequestRate } from './limits/request-rate.ts';
import type { RevocationListsPort } from './revocation-routes.ts';
import type { ListenerName } from './reconcile.ts';

/** Those that have an app here. */
type AppListener = Exclude<ListenerName, 'services'>;
import { createTlsServer, swapCredentials, type Credentials } from './tls.ts';
import { TlsOverhead } from './limits/tls-overhead.ts';
import { Turns } from './limits/turns.ts';
import { UnreadResponses } from './limits/unread-responses.ts';

/**
 * Connections to one of the administration's ports: scripts, browsers, metrics, and 100 requests that wait for events.
 */
const ADMIN_PLACES = 512;
/**
 * Connections to one of the agents' ports that are not a WebSocket yet, where agents.max is small: installers and load
 * balancers connect, too.
 */
const FEWEST_AGENT_PLACES = 1_024;

interface ListenerAppsOptions {
  readonly central: string;
  readonly credentials: Credentials;
  readonly handshake: Handshake;
  readonly enrollment: EnrollmentPort;
  readonly revocationLists: RevocationListsPort;
  readonly downloads: DownloadsPort;
  /** Why a client certificate is rejected; undefined when it is not. */
  readonly checkClientCertificate: (shown: X509Certificate) => Promise<CodedError | undefined>;
  readonly trustedProxies: () => AddressSet;
  readonly maxFrameBytes: number;
  /** True when the wss listener requests client certificates. */
  readonly asksForCertificate: boolean;
  /** From TCP accept to the first request, or the WebSocket's own deadline. */
  readonly deadlineMs: () => number;
  /** Connections that may wait for their welcome; also on each of the agents' ports before they are WebSockets. */
  readonly maxHandshakes: () => number;
  /** How many sessions are open. */
  readonly sessions: () => number;
  readonly descriptors: Pick<Descriptors, 'handshakes' | 'administration'>;
  readonly addressAccess: AddressAccess;
  /** A connection or an enrollment failed. */
  readonly onFailure: (listener: AppListener, fault: CodedError, address: string) => void;
  readonly onUnexpected: OnUnexpected;
}

/** Creates the app of the administration on a server of ours. */
export type CreateAdminApp = (server: Server, gate: RequestGate) => Promise<FastifyInstance>;

export interface ListenerApps {
  readonly accept: Readonly<Record<AppListener, (socket: Socket) => void>>;
  /** Adds the administration, once for HTTPS and once for HTTP. Call it once, before anything listens. */
  serveAdministration(create: CreateAdminApp): Promise<void>;
  /** For the local administration socket, which shares the app of HTTP; its owner bounds it. */
  acceptLocal(socket: Socket): void;
  /** New handshakes show this certificate, on both TLS listeners. */
  show(credentials: Credentials): void;
  setMaxFrameBytes(bytes: number): void;
  /** New handshakes request a client certificate on the wss listener, or do not. */
  askForCertificate(asks: boolean): void;
  /** Closes what is left of HTTP; sessions have ended before. */
  stop(): Promise<void>;
}

export async function createListenerApps(options: ListenerAppsOptions): Promise<ListenerApps> {
  const { deadlineMs } = options;
  let credentials = options.credentials;
  const tls = {
    wss: createTlsServer(credentials, deadlineMs(), options.asksForCertificate),
    https: createTlsServer(credentials, deadlineMs()),
  };
  const feed = serverFeed(options);
  const listeners = {
    ws: feed('ws'),
    wss: feed('wss', tls.wss),
    https: feed('https', tls.https),
    http: feed('http'),
  };
  const agentApp = (listener: 'ws' | 'wss') =>
    createAgentSocketApp({ ...options, listener, ...listeners[listener], onFailure: failureAt(options, listener) });
  const [ws, wss] = [await agentApp('ws'), await agentApp('wss')];
  const adminApps: FastifyInstance[] = [];
  return {
    accept: {
      ws: listeners.ws.connections.accept,
      wss: listeners.wss.connections.accept,
      https: listeners.https.connections.accept,
      http: listeners.http.connections.accept,
    },
    async serveAdministration(create): Promise<void> {
      for (const listener of ['https', 'http'] as const) {
        const { server, connections, gate } = listeners[listener];
        server.on('request', (request) => connections.settle(request.socket));
        adminApps.push(await create(server, gate));
      }
    },
    acceptLocal: (socket) => void listeners.http.server.emit('connection', socket),
    show(next): void {
      credentials = next;
      swapCredentials(tls.wss, next);
      swapCredentials(tls.https, next);
    },
    setMaxFrameBytes(bytes): void {
      ws.setMaxFrameBytes(bytes);
      wss.setMaxFrameBytes(bytes);
    },
    askForCertificate(asks): void {
      tls.wss = createTlsServer(credentials, deadlineMs(), asks);
      listeners.wss.connections.useTls(tls.wss);
    },
    async stop(): Promise<void> {
      for (const { connections } of Object.values(listeners)) connections.destroyAll();
      await Promise.all([ws.app, wss.app, ...adminApps].map((app) => app.close()));
    },
  };
}

function failureAt({ onFailure }: ListenerAppsOptions, listener: AppListener) {
  return (fault: CodedError, address: string): void => onFailure(listener, fault, address);
}

/** The HTTP server of one listener, and what brings it sockets and requests. */
interface ServerFeed {
  readonly server: Server;
  readonly connections: Connections;
  readonly gate: RequestGate;
}

/** Makes the server of a listener. The bounds per address are shared by all listeners. */
function serverFeed(options: ListenerAppsOptions): (listener: AppListener, tls?: TlsServer) => ServerFeed {
  const { deadlineMs, maxHandshakes, sessions, trustedProxies, descriptors } = options;
  const tlsOverhead = new TlsOverhead();
  const readTurns = {
    tls: new ReadTurns({ mayRead: (block) => tlsOverhead.mayRead(block) }),
    plain: new ReadTurns({ atOnce: PLAIN_AT_ONCE }),
  };
  const shared = {
    turns: new Turns(),
    rate: new RequestRate(),
    unread: new UnreadResponses(),
    unreadOfTokens: new UnreadResponses(),
  };
  return (listener, tls) => {
    const server = createHttpServer(deadlineMs());
    const forAgents = listener === 'ws' || listener === 'wss';
    const onFailure = failureAt(options, listener);
    const connections = new Connections({
      http: server,
      ...(tls === undefined ? {} : { tls }),
      deadlineMs,
      ...(forAgents ? { proxies: trustedProxies } : {}),
      places: new Places(
        forAgents
          ? () => Math.min(descriptors.handshakes(sessions()), Math.max(FEWEST_AGENT_PLACES, maxHandshakes()))
          : () => Math.min(descriptors.administration, ADMIN_PLACES),
      ),
      turns: shared.turns,
      tlsOverhead,
      readTurns: tls === undefined ? readTurns.plain : readTurns.tls,
      onFailure,
    });
    const gate = new RequestGate({
      server,
      ...shared,
      addressOf: ({ socket, headers }) =>
        forAgents
          ? originOf(socket.remoteAddress, listener, headers, trustedProxies(), connections.announced(socket)).address
          : (socket.remoteAddress ?? ''),
      placeOf: (socket) => connections.placeOf(socket),
      takesTokens: !forAgents,
      onFailure,
    });
    return { server, connections, gate };
  };
}

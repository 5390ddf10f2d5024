// The connection to a receiver, which is not trusted: its address is checked when it is connected to, TLS is verified, and
// all that arrives on it is bounded, also what neither TLS nor HTTP hands on (key updates, session tickets).
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls, getCACertificates } from 'node:tls';
import type { SubscriptionRecord } from '../store/subscriptions/subscription-store.ts';
import { TLS_PROTOCOL } from '../pki/tls-protocol.ts';
import { guardedLookup, hostOf } from './target.ts';

/** Of one attempt: handshake, headers and answer. */
const MAX_RECEIVED_BYTES = 256 * 1024;
/** A flood costs the event loop until it is seen. */
const LOOK_MS = 50;

interface Terms {
  readonly subscription: Pick<SubscriptionRecord, 'ca'>;
  /** The parameter webhooks.allowedAddresses. */
  readonly allowed: () => readonly string[];
  readonly signal: AbortSignal;
  /** More arrived than is taken; the connection is closed. */
  readonly onFlood: (error: Error) => void;
}

type Done = (error: Error | null, socket: Socket) => void;

let roots: string[] | undefined;

/** Those of the system and those of Node.js. Loaded with the first webhook. */
function systemRoots(): string[] {
  roots ??= [...getCACertificates('system'), ...getCACertificates('bundled')];
  return roots;
}

/** Calls `done` with a connected socket, over which TLS goes on unless the URL is one of http. */
export function connectTo(url: URL, { subscription, allowed, signal, onFlood }: Terms, done: Done): void {
  const isPlain = url.protocol === 'http:';
  const host = hostOf(url);
  const port = url.port === '' ? (isPlain ? 80 : 443) : Number(url.port);
  const carrier = connect({ host, port, lookup: guardedLookup(allowed, isPlain), signal });
  carrier.once('error', (error) => done(error, carrier));
  carrier.once('connect', () => {
    carrier.removeAllListeners('error');
    const socket = isPlain
      ? carrier
      : connectTls({
          socket: carrier,
          host,
          ...(isIP(host) === 0 ? { servername: host } : {}),
          ca: subscription.ca ?? systemRoots(),
          ...TLS_PROTOCOL,
          ALPNProtocols: ['http/1.1'],
        });
    if (socket !== carrier) carrier.on('error', (error) => socket.destroy(error));
    boundReceived(carrier, (error) => {
      onFlood(error);
      socket.destroy(error);
      carrier.destroy();
    });
    done(null, socket);
  });
}

function boundReceived(carrier: Socket, flooded: (error: Error) => void): void {
  const timer = setInterval(() => {
    if (carrier.bytesRead <= MAX_RECEIVED_BYTES) return;
    clearInterval(timer);
    flooded(new Error(`it sends more than ${MAX_RECEIVED_BYTES / 1024} KiB`));
  }, LOOK_MS).unref();
  carrier.once('close', () => clearInterval(timer));
}

// Opens the line to Central: TCP, directly or through a proxy, within one time for all of it; and TLS on it with the
// options that all connections of the agent share. Who is trusted is the caller's to say.
import type { ClientRequestArgs } from 'node:http';
import { isIP, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { connectThrough } from './proxy-connect.ts';
import type { Proxy } from './proxy-settings.ts';
import { openTcp, type Place } from './tcp.ts';

interface LineTarget extends Place {
  readonly proxy?: Proxy | undefined;
}

interface LineTimes {
  /** For name resolution, all addresses, and the answer of the proxy. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Throws the system's error (ETIMEDOUT after `timeoutMs`), or the fault of the proxy. */
export async function openLine(target: LineTarget, { timeoutMs, signal }: LineTimes): Promise<Socket> {
  const over = new AbortController();
  const timer = setTimeout(
    () => over.abort(Object.assign(new Error('the connection has timed out'), { code: 'ETIMEDOUT' })),
    timeoutMs,
  );
  const either = signal === undefined ? over.signal : AbortSignal.any([over.signal, signal]);
  try {
    return await (target.proxy === undefined ? openTcp(target, either) : connectThrough(target.proxy, target, either));
  } finally {
    clearTimeout(timer);
  }
}

/** TLS 1.3 on a line. The name is the one that was dialed, through whatever. */
export function startTls(socket: Socket, { host }: Place, options: ConnectionOptions): TLSSocket {
  return connectTls({ minVersion: 'TLSv1.3', ...options, socket, host, ...serverName(host) });
}

/** `createConnection` of node:http and ws: a line, with TLS when `tls` says who is trusted. */
export function lineFor(
  target: LineTarget,
  times: LineTimes,
  tls?: ConnectionOptions,
): NonNullable<ClientRequestArgs['createConnection']> {
  return (_options, done): undefined => {
    const open = async (): Promise<void> => {
      let socket: Socket | undefined;
      let carrier: Socket;
      try {
        socket = await openLine(target, times);
        // Throws when key and certificate do not belong together.
        carrier = tls === undefined ? socket : startTls(socket, target, tls);
      } catch (error) {
        socket?.destroy();
        // Node takes no socket beside an error; its types want one.
        return done(error as Error, undefined as never);
      }
      done(null, carrier);
    };
    void open();
  };
}

/** SNI takes no address and no trailing dot (RFC 6066 section 3). */
function serverName(host: string): { readonly servername?: string } {
  return isIP(host) === 0 ? { servername: host.replace(/\.$/, '') } : {};
}

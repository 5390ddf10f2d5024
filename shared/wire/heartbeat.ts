// Monitors one WebSocket: sends pings periodically, and notices when nothing was received for two and a half periods.
// Both sides run it: a half-open connection is dead for one side only, and a firewall forgets idle connections in
// either direction. It also notices a peer that lives but does not read. It does no work per frame: it compares the
// byte counters of the socket.
import type { Socket } from 'node:net';

/** What it needs of one connection. */
export interface HeartbeatPort {
  /** Sends a WebSocket ping (RFC 6455 section 5.5.2). */
  ping(): void;
  /** Bytes received so far; any growth is a sign of life, also the middle of a long frame on a slow line. */
  bytesRead(): number;
  /** Bytes that wait to be written. */
  bytesWaiting(): number;
  /** Bytes handed to the operating system so far. */
  bytesWritten(): number;
  /** This side itself leaves the socket unread at present: that nothing is heard says nothing about the peer. */
  isPaused?(): boolean;
}

/** What Node keeps of a TCP connection beneath a socket. */
interface TcpHandle {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Of these, what the operating system has not taken yet. */
  readonly writeQueueSize: number;
}

/** The port of a WebSocket over the socket (net or TLS) that carries it. */
export function heartbeatPort(
  webSocket: { ping(): void; readonly bufferedAmount: number },
  socket: Socket,
): HeartbeatPort {
  return {
    ping: () => webSocket.ping(),
    bytesRead: () => tcpHandle(socket)?.bytesRead ?? socket.bytesRead,
    bytesWaiting: () => webSocket.bufferedAmount,
    bytesWritten: () => {
      const handle = tcpHandle(socket);
      return handle === undefined
        ? socket.bytesWritten - socket.writableLength
        : handle.bytesWritten - handle.writeQueueSize;
    },
  };
}

/**
 * The counters of the TCP connection itself, which no public member shows (tried): `bytesRead` of a TLS socket does not change until
 * a whole record of up to 16 KiB has come, so that a slow line looks dead; `bytesWritten` counts what only waits in memory, so
 * that each ping of ours looks like progress of a peer that reads nothing. Undefined once the socket is gone.
 */
function tcpHandle(socket: Socket): TcpHandle | undefined {
  const { _handle: handle } = socket as {
    readonly _handle?: (Partial<TcpHandle> & { readonly _parent?: Partial<TcpHandle> }) | null;
  };
  const tcp = handle?._parent ?? handle ?? undefined;
  if (
    typeof tcp?.bytesRead !== 'number' ||
    typeof tcp.bytesWritten !== 'number' ||
    typeof tcp.writeQueueSize !== 'number'
  )
    return undefined;
  // Just looked at, member by member.
  return tcp as TcpHandle;
}

export type HeartbeatEnd = { readonly reason: 'silent' | 'not-reading'; readonly seconds: number };

/** Two lost pings and some delay are still life; a third is not. */
const SILENCE_PERIODS = 2.5;

export interface Heartbeat {
  stop(): void;
}

/**
 * Starts at once. Calls `onEnd` once, and stops itself, when nothing was heard for 2.5 periods, or when bytes wait and none
 * could be written for `stalledMs`.
 */
export function startHeartbeat(
  port: HeartbeatPort,
  periodMs: number,
  stalledMs: number,
  onEnd: (end: HeartbeatEnd) => void,
): Heartbeat {
  let read = port.bytesRead();
  let heardAt = performance.now();
  let written = port.bytesWritten();
  let movedAt = heardAt;
  let pingedAt = heardAt;

  // Four looks per period: the bound is kept to a quarter of a period, at the cost of two counters.
  const timer = setInterval(() => {
    const now = performance.now();
    // A peer that died meanwhile is found within the usual time after the socket is read again.
    if (port.bytesRead() !== read || port.isPaused?.() === true) {
      read = port.bytesRead();
      heardAt = now;
    }
    if (port.bytesWritten() !== written || port.bytesWaiting() === 0) {
      written = port.bytesWritten();
      movedAt = now;
    }
    if (now - heardAt > periodMs * SILENCE_PERIODS) return end('silent', now - heardAt);
    if (now - movedAt > stalledMs) return end('not-reading', now - movedAt);
    if (now - pingedAt >= periodMs * 0.9) {
      pingedAt = now;
      port.ping();
    }
  }, periodMs / 4);

  function end(reason: HeartbeatEnd['reason'], ms: number): void {
    clearInterval(timer);
    onEnd({ reason, seconds: Math.round(ms / 1000) });
  }

  return {
    stop(): void {
      clearInterval(timer);
    },
  };
}

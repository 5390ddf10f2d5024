// Opens a TCP connection to a host that may have several addresses: one after the other, each with a head start, side
// by side until one connects (RFC 8305). No attempt is given up before the dial as a whole: Node's own attempts end
// after 500 ms, which a satellite line takes for one round trip.
import { lookup } from 'node:dns/promises';
import { connect, isIP, type Socket } from 'node:net';

export interface Place {
  readonly host: string;
  readonly port: number;
}

interface TcpParts {
  lookup(host: string): Promise<readonly string[]>;
  connect(place: Place): Socket;
}

/**
 * More than a slow line needs for an answer, so that a second connection is rarely opened in vain; short enough for a
 * dead address.
 */
const HEAD_START_MS = 1_000;
/** A hostile name server must not make an agent dial a thousand hosts. */
const MAX_ADDRESSES = 16;

const SYSTEM: TcpParts = {
  lookup: async (host) =>
    isIP(host) === 0 ? (await lookup(host, { all: true, order: 'verbatim' })).map(({ address }) => address) : [host],
  connect: (place) => connect({ ...place, autoSelectFamily: false }),
};

/** The first address that connects. Throws what the first one said when none does, and the reason of `signal`. */
export async function openTcp({ host, port }: Place, signal: AbortSignal, parts = SYSTEM): Promise<Socket> {
  const addresses = (await unlessAborted(parts.lookup(host), signal)).slice(0, MAX_ADDRESSES);
  return await new Promise<Socket>((resolve, reject) => {
    const open = new Set<Socket>();
    const failures: unknown[] = [];
    let next = 0;
    let timer: NodeJS.Timeout | undefined;
    const end = (outcome: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
      for (const socket of open) socket.destroy();
      outcome();
    };
    const aborted = (): void => end(() => reject(signal.reason as Error));
    const tryNext = (): void => {
      clearTimeout(timer);
      const address = addresses[next];
      if (address === undefined) {
        if (open.size === 0) end(() => reject((failures[0] as Error | undefined) ?? new Error('it has no address')));
        return;
      }
      next += 1;
      const socket = parts.connect({ host: address, port });
      open.add(socket);
      const failed = (error: Error): void => {
        // A later one that was overtaken by the connection, or ended by `end`.
        if (!open.delete(socket) || signal.aborted) return;
        failures.push(error);
        tryNext();
      };
      socket.once('error', failed);
      socket.once('connect', () => {
        socket.off('error', failed);
        open.delete(socket);
        end(() => resolve(socket));
      });
      timer = setTimeout(tryNext, HEAD_START_MS);
    };
    signal.addEventListener('abort', aborted, { once: true });
    tryNext();
  });
}

/** What `work` says, or the reason of `signal`; nothing can stop the system's name resolution. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const aborted = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', aborted, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', aborted);
  }
}

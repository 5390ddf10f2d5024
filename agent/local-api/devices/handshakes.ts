// Bounds the connections of devices before their handshake is done, and all connections of one address: a stranger in
// the network takes nothing from devices at other addresses, and nothing from programs on this host.
import type { Socket } from 'node:net';
import type { Server as TlsServer, TLSSocket } from 'node:tls';
import type { ReadTurn, ReadTurns } from '../../../shared/http/read-turns.ts';

interface DeviceLimits {
  /** Of one address, whatever their state. Many devices may share one, behind a hub. */
  readonly perAddress: number;
  /** Of all addresses, before the end of their handshakes. */
  readonly handshakes: number;
  /** From the connection to the end of the handshake. */
  readonly handshakeMs: number;
}

const DEVICE_LIMITS: DeviceLimits = { perAddress: 128, handshakes: 128, handshakeMs: 5_000 };

/** What TLS reads from, with its turn to be read. */
interface Carrier {
  readonly socket: Socket;
  readonly turn: ReadTurn;
}

export class DeviceHandshakes {
  readonly #limits: DeviceLimits;
  readonly #readTurns: Pick<ReadTurns, 'enter'>;
  readonly #perAddress = new Map<string, number>();
  /** By the peer's address and port, which TLS has too. Oldest first. */
  readonly #pending = new Map<string, Carrier>();

  constructor(readTurns: Pick<ReadTurns, 'enter'>, limits: DeviceLimits = DEVICE_LIMITS) {
    this.#readTurns = readTurns;
    this.#limits = limits;
  }

  /** Watches the connections of a server from their first byte on. */
  watch(server: TlsServer): void {
    server.on('connection', (socket: Socket) => this.#add(socket));
    // Node's own listener would answer in plain HTTP what is not TLS.
    server.removeAllListeners('tlsClientError');
    server.on('tlsClientError', (_error, socket) => socket.destroy());
  }

  /** The handshake is done. Undefined: the connection has ended. */
  done(socket: TLSSocket | Socket): Carrier | undefined {
    const key = keyOf(socket);
    const carrier = this.#pending.get(key);
    this.#pending.delete(key);
    return carrier;
  }

  #add(socket: Socket): void {
    const { remoteAddress: address } = socket;
    const count = this.#perAddress.get(address ?? '') ?? 0;
    if (address === undefined || count >= this.#limits.perAddress || this.#pending.size >= this.#limits.handshakes)
      return void socket.destroy();
    this.#perAddress.set(address, count + 1);
    const key = keyOf(socket);
    const carrier = { socket, turn: this.#readTurns.enter(socket, address) };
    this.#pending.set(key, carrier);
    const timer = setTimeout(() => this.#pending.get(key) === carrier && socket.destroy(), this.#limits.handshakeMs);
    timer.unref();
    socket.once('close', () => {
      clearTimeout(timer);
      carrier.turn.leave();
      if (this.#pending.get(key) === carrier) this.#pending.delete(key);
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left === 0) this.#perAddress.delete(address);
      else this.#perAddress.set(address, left);
    });
  }
}

function keyOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

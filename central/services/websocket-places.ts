// Bounds the WebSockets of one caller: each holds one of the 64 streams of its agent for as long as the caller likes.
import type { Socket } from 'node:net';
import { serviceFault } from './errors.ts';

/** From one address to one agent: half of its streams are left to others. */
const MAX_OF_ONE_CALLER = 32;

export class WebSocketPlaces {
  readonly #taken = new Map<string, number>();

  /** The place is free again when the socket closes. Errors: service_websockets_full. */
  enter(caller: string, socket: Pick<Socket, 'once'>): void {
    const taken = this.#taken.get(caller) ?? 0;
    if (taken >= MAX_OF_ONE_CALLER) throw serviceFault('service_websockets_full', { limit: MAX_OF_ONE_CALLER });
    this.#taken.set(caller, taken + 1);
    socket.once('close', () => {
      const left = (this.#taken.get(caller) ?? 1) - 1;
      if (left === 0) this.#taken.delete(caller);
      else this.#taken.set(caller, left);
    });
  }
}

// Bounds how many agents may be connected, and how many handshakes may be in progress. Both follow from the parameter
// agents.max.
import type { CodedError } from '../../shared/errors.ts';
import { refusal } from '../../shared/wire/refusals.ts';
import { placeFault } from '../auth/errors.ts';
import { Places } from '../auth/places.ts';
import type { Descriptors } from '../listeners/limits/descriptors.ts';

/**
 * Concurrent handshakes as a share of agents.max: after a restart all agents connect, and each costs two signatures and
 * a commit. Half of the places have no share per address: with the default, 2,500 agents behind one NAT can connect at
 * once.
 */
const PENDING_HANDSHAKE_SHARE = 0.5;
const MIN_PENDING_HANDSHAKES = 50;
/** Welcomes per second on a small machine; the retry delay of refused agents follows from it. */
const WELCOMES_PER_SECOND = 500;

interface AdmissionPort {
  /** The live parameter agents.max. */
  maxAgents(): number;
  /** What the limit of open files allows (listeners/limits/descriptors.ts). */
  readonly descriptors: Pick<Descriptors, 'sessions' | 'handshakes' | 'limit' | 'onSessionsFull'>;
  /** Of this process. */
  sessions(): number;
  /** Of other nodes, as they last said. */
  elsewhere(): number;
  random(): number;
}

/** How many handshakes may be in progress for this value of agents.max. */
export function maxHandshakes(maxAgents: number): number {
  return Math.max(MIN_PENDING_HANDSHAKES, Math.ceil(maxAgents * PENDING_HANDSHAKE_SHARE));
}

export interface Admitted {
  /** The peer has sent its hello: from here its place is kept. */
  works(): void;
  /** Frees the place; may be called twice. */
  leave(): void;
}

export class Admission {
  readonly #port: AdmissionPort;
  readonly #places: Places;

  constructor(port: AdmissionPort) {
    this.#port = port;
    this.#places = new Places(() =>
      Math.min(port.descriptors.handshakes(port.sessions()), maxHandshakes(port.maxAgents())),
    );
  }

  get pendingHandshakes(): number {
    return this.#places.taken;
  }

  /**
   * A place for one handshake, or the refusal `busy`, whose cause says why. While its peer is silent the place may go
   * to another: then `giveUp` is called with such a refusal.
   */
  enter(address: string, giveUp: (busy: CodedError) => void): Admitted | CodedError {
    const { descriptors } = this.#port;
    const limit = this.#port.maxAgents();
    const sessions = this.#port.sessions();
    if (sessions + this.#port.elsewhere() >= limit) return busy(placeFault('places_full', { limit }));
    if (sessions >= descriptors.sessions) {
      descriptors.onSessionsFull();
      return busy(
        placeFault('descriptors_full', { limit: descriptors.sessions, openFiles: descriptors.limit, maxAgents: limit }),
      );
    }
    const place = this.#places.enter(address, (fault) => giveUp(busy(fault)));
    return 'leave' in place ? place : busy(place);
  }

  /** Seconds after which a refused agent should retry: spread, so that they do not all retry together. */
  retryAfterSeconds(): number {
    const queueSeconds = Math.max(1, this.#port.maxAgents() / WELCOMES_PER_SECOND);
    return Math.ceil(1 + this.#port.random() * queueSeconds);
  }
}

function busy(cause: CodedError): CodedError {
  return refusal('busy', {}, cause);
}

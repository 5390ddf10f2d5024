// Owns how many agents may be at the door and inside at once. One parameter, agents.max, sets all of it.
import { refusal } from '../../shared/wire/refusals.ts';

/** Handshakes at once as a share of agents.max: after a restart everybody is at the door, and each costs two signatures and a commit. */
const DOOR_SHARE = 0.25;
const SMALLEST_DOOR = 50;
/** How many welcomes per second a small machine manages; what those who are sent away are told follows from it. */
const WELCOMES_PER_SECOND = 500;

export interface AdmissionPort {
  /** agents.max, read at each use since it is live. */
  maxAgents(): number;
  sessions(): number;
  random(): number;
}

export interface Admitted {
  /** Frees the place at the door; may be called twice. */
  leave(): void;
}

export class Admission {
  readonly #port: AdmissionPort;
  #atTheDoor = 0;

  constructor(port: AdmissionPort) {
    this.#port = port;
  }

  get atTheDoor(): number {
    return this.#atTheDoor;
  }

  /** A place for one handshake, or undefined when there is none: then the peer is refused as `busy`. */
  enter(): Admitted | undefined {
    const max = this.#port.maxAgents();
    if (this.#atTheDoor >= Math.max(SMALLEST_DOOR, max * DOOR_SHARE) || this.#port.sessions() >= max) return undefined;
    this.#atTheDoor += 1;
    let inside = true;
    return {
      leave: (): void => {
        if (inside) this.#atTheDoor -= 1;
        inside = false;
      },
    };
  }

  /** Seconds after which one who was sent away shall come back: spread so that they do not come together again. */
  retryAfterSeconds(): number {
    const queueSeconds = Math.max(1, this.#port.maxAgents() / WELCOMES_PER_SECOND);
    return Math.ceil(1 + this.#port.random() * queueSeconds);
  }

  busy(): Error {
    return refusal('busy', {});
  }
}

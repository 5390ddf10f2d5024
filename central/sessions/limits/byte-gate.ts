// Bounds the bytes on their way through something slow (the writing thread). Small batches overtake waiting large ones,
// but not endlessly.

/** What counts as small: one read of a socket. */
const SMALL_BYTES = 64 * 1024;
/** One of so many turns is for the large ones. */
const TURNS = 4;

export interface Pass {
  /** True once it is in; false when it left before. */
  readonly entered: Promise<boolean>;
  /** May be called twice, also before it is in. */
  leave(): void;
}

interface Waiting {
  readonly bytes: number;
  readonly enter: (entered: boolean) => void;
}

export class ByteGate {
  readonly #maxBytes: number;
  readonly #small = new Set<Waiting>();
  readonly #large = new Set<Waiting>();
  #inside = 0;
  #turn = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes that are inside. */
  get inside(): number {
    return this.#inside;
  }

  enter(bytes: number): Pass {
    const { promise: entered, resolve } = Promise.withResolvers<boolean>();
    let state: 'waiting' | 'inside' | 'left' = 'waiting';
    const lane = bytes <= SMALL_BYTES ? this.#small : this.#large;
    const waiting: Waiting = {
      bytes,
      enter: (isIn) => {
        state = isIn ? 'inside' : 'left';
        resolve(isIn);
      },
    };
    lane.add(waiting);
    this.#admit();
    return {
      entered,
      leave: () => {
        if (state === 'left') return;
        if (state === 'inside') this.#inside -= bytes;
        else if (lane.delete(waiting)) resolve(false);
        state = 'left';
        this.#admit();
      },
    };
  }

  #admit(): void {
    for (;;) {
      const lane = this.#next();
      const [first] = lane;
      // The first of the lane waits for room, also when a smaller one would fit: otherwise a large one might starve.
      if (first === undefined || (this.#inside > 0 && this.#inside + first.bytes > this.#maxBytes)) return;
      this.#turn += 1;
      lane.delete(first);
      this.#inside += first.bytes;
      first.enter(true);
    }
  }

  #next(): Set<Waiting> {
    const largeFirst = this.#turn % TURNS === TURNS - 1;
    const [first, second] = largeFirst ? [this.#large, this.#small] : [this.#small, this.#large];
    return first.size > 0 ? first : second;
  }
}

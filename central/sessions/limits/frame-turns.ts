// Spreads the parsing of large frames over turns of the event loop: so many bytes per turn over all sessions, one frame
// of a session at a time. Between two turns sockets, timers and the store's answers are served, and with them the small
// frames of all other sessions.

/** A frame up to this size is parsed at once: that takes a fraction of a millisecond. */
export const SMALL_FRAME_BYTES = 16 * 1024;
/** Some 10 ms of work. One frame is always taken. */
const TURN_BYTES = 1024 * 1024;

/** A session with frames that wait to be parsed. */
export interface FrameSource {
  /** Parses its next frame; its size, and whether there is another one. Must not throw. */
  parseNext(): { readonly bytes: number; readonly more: boolean };
}

export class FrameTurns {
  readonly #sources = new Set<FrameSource>();
  readonly #defer: (run: () => void) => void;
  #scheduled = false;

  /** `defer` runs something in the next turn of the event loop. */
  constructor(defer: (run: () => void) => void = (run) => void setImmediate(run)) {
    this.#defer = defer;
  }

  /** Keeps its place when it waits already. */
  add(source: FrameSource): void {
    this.#sources.add(source);
    this.#schedule();
  }

  remove(source: FrameSource): void {
    this.#sources.delete(source);
  }

  #schedule(): void {
    if (this.#scheduled || this.#sources.size === 0) return;
    this.#scheduled = true;
    this.#defer(() => this.#run());
  }

  #run(): void {
    this.#scheduled = false;
    let bytes = 0;
    for (const source of this.#sources) {
      this.#sources.delete(source);
      const parsed = source.parseNext();
      bytes += parsed.bytes;
      // Behind all others.
      if (parsed.more) this.#sources.add(source);
      if (bytes >= TURN_BYTES) break;
    }
    this.#schedule();
  }
}

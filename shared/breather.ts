// Lets the event loop go on in the middle of long work, so that large or expensive files delay nothing else, however
// many of them are worked on at the same time.
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Less than a commit: an acknowledgement hardly notices. */
const SLICE_MS = 5;

/** There is one event loop: each of its turns has one slice, of one breather. */
let lastSlice: Promise<void> = Promise.resolve();

export class Breather {
  #since = performance.now();

  /** Call it often, between two pieces of the work: once a slice is used up, it waits for the next one that is free. */
  async pause(): Promise<void> {
    if (performance.now() - this.#since < SLICE_MS) return;
    lastSlice = lastSlice.then(() => nextTurn());
    await lastSlice;
    this.#since = performance.now();
  }
}

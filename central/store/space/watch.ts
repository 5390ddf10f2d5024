// Watches the disk space of the store: holds agents' messages back while the reserve is reached, has the store pruned
// early, and logs each change once. The store itself refuses what adds data.
import type { Logger } from 'pino';
import type { Metrics } from '../../metrics.ts';
import type { StoreSpace } from './bounds.ts';
import { problemOf, type Problem } from '../../problems.ts';
import { storeFault } from '../errors.ts';
import type { Store } from '../store.ts';

interface SpaceWatchOptions {
  readonly store: Pick<Store, 'space'>;
  /**
   * Holds the messages of every session back, or releases them. Called after each measurement, so that new sessions are
   * included.
   */
  readonly hold: (on: boolean) => void;
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'error' | 'info' | 'warn'>;
  readonly now: () => number;
}

/** Pruning costs reads: not for each measurement. */
const PRUNE_MS = 60_000;

export class SpaceWatch {
  readonly #options: SpaceWatchOptions;
  #space: StoreSpace = { state: 'unwatched', freeBytes: null, availableBytes: null, reserveBytes: 0 };
  #prunedAt = -Infinity;
  /** When the state changed. */
  #since = 0;

  constructor(options: SpaceWatchOptions) {
    this.#options = options;
  }

  /** Measures and acts. True when it is time to prune. */
  async check(): Promise<boolean> {
    const { store, hold, metrics, now } = this.#options;
    const before = this.#space.state;
    this.#space = await store.space();
    const { state, freeBytes, availableBytes, reserveBytes } = this.#space;
    metrics.instruments.queuegate_store_reserve_bytes.set(reserveBytes);
    if (freeBytes !== null) metrics.instruments.queuegate_store_free_bytes.set(freeBytes);
    if (availableBytes !== null) metrics.instruments.queuegate_store_available_bytes.set(availableBytes);
    if (state !== before) {
      this.#since = now();
      this.#say(before);
    }
    hold(state === 'reserved');
    if (state === 'ample' || state === 'unwatched' || now() - this.#prunedAt < PRUNE_MS) return false;
    this.#prunedAt = now();
    return true;
  }

  /** The last measurement. */
  current(): StoreSpace {
    return this.#space;
  }

  /** Present problems, for the status. */
  problems(): Problem[] {
    const { state, availableBytes, reserveBytes } = this.#space;
    const facts = { available: availableBytes ?? 0, reserve: reserveBytes };
    if (state !== 'low' && state !== 'reserved') return [];
    const fault = state === 'low' ? storeFault('store_low', facts) : storeFault('store_reserve', facts);
    return [problemOf(fault, this.#since)];
  }

  #say(before: StoreSpace['state']): void {
    const { log } = this.#options;
    const { state, ...facts } = this.#space;
    if (state === 'reserved')
      log.error(
        { state, ...facts },
        'the disk reserve of the store is reached: new messages and enrollments are refused until there is space',
      );
    else if (state === 'low')
      log.warn(
        { state, ...facts },
        before === 'reserved'
          ? 'new messages are accepted again; the disk space of the store is still low'
          : 'the disk space of the store is low',
      );
    else if (before !== 'unwatched') log.info({ state, ...facts }, 'the store has enough disk space again');
  }
}

// Owns what Central does about the disk space of its store: holds the agents' messages back while the reserve is reached, lets the store be
// pruned early, and tells the administrator once per change. What the store itself refuses is the store's.
import type { Logger } from 'pino';
import type { Metrics } from '../../metrics.ts';
import type { StoreSpace } from './bounds.ts';
import { storeFault } from '../errors.ts';
import type { Store } from '../store.ts';

export interface SpaceWatchOptions {
  readonly store: Pick<Store, 'space'>;
  /** Holds the messages of every session back, or lets them go on. Called after each measurement, so that no session is forgotten. */
  readonly hold: (on: boolean) => void;
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'error' | 'info' | 'warn'>;
  readonly now: () => number;
}

/** Pruning reads what is there: not for each measurement. */
const PRUNE_MS = 60_000;

export class SpaceWatch {
  readonly #options: SpaceWatchOptions;
  #space: StoreSpace = { state: 'unwatched', freeBytes: null, availableBytes: null, reserveBytes: 0 };
  #prunedAt = -Infinity;

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
    if (state !== before) this.#say(before);
    hold(state === 'reserved');
    if (state === 'ample' || state === 'unwatched' || now() - this.#prunedAt < PRUNE_MS) return false;
    this.#prunedAt = now();
    return true;
  }

  /** As it was measured last. */
  current(): StoreSpace {
    return this.#space;
  }

  /** What is wrong right now, for the status. */
  trouble(): string[] {
    const { state, availableBytes, reserveBytes } = this.#space;
    const facts = { available: availableBytes ?? 0, reserve: reserveBytes };
    if (state !== 'low' && state !== 'reserved') return [];
    const { code, message, hint } =
      state === 'low' ? storeFault('store_low', facts) : storeFault('store_reserve', facts);
    return [`${code}: ${message} ${hint}`];
  }

  #say(before: StoreSpace['state']): void {
    const { log } = this.#options;
    const { state, ...facts } = this.#space;
    if (state === 'reserved')
      log.error(
        { state, ...facts },
        'the disk reserve of the store is reached: new messages and enrollments wait until there is space',
      );
    else if (state === 'low')
      log.warn(
        { state, ...facts },
        before === 'reserved'
          ? 'new messages are taken again; the disk space of the store is still low'
          : 'the disk space of the store is low',
      );
    else if (before !== 'unwatched') log.info({ state, ...facts }, 'the store has enough disk space again');
  }
}

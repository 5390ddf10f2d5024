// Has the events that an older version stored converted into the present layout while Central works, and logs the
// progress. They are readable all the time.
import type { Logger } from 'pino';
import { isCoded } from '../../shared/errors.ts';
import type { Store } from '../store/store.ts';

interface EventConversionOptions {
  readonly store: Pick<Store, 'convert' | 'stats'>;
  readonly log: Pick<Logger, 'info'>;
  /** Milliseconds of a clock that only goes forward. */
  readonly clock: () => number;
}

/** Steps of one run: some seconds. A store of 2 GiB takes some thousand. */
const STEPS = 200;
const LOG_MS = 30_000;

export class EventConversion {
  readonly #options: EventConversionOptions;
  /** Undefined: not yet looked. */
  #left: number | undefined;
  #loggedAt = 0;

  constructor(options: EventConversionOptions) {
    this.#options = options;
  }

  /** Converts for some seconds; does nothing once there is nothing left. */
  async run(): Promise<void> {
    const { store, log, clock } = this.#options;
    try {
      if (this.#left === undefined) {
        this.#left = (await store.stats()).unconvertedEvents;
        if (this.#left > 0) log.info({ events: this.#left }, 'converting the events of an older version');
        this.#loggedAt = clock();
      }
      for (let step = 0; step < STEPS && this.#left > 0; step += 1) {
        const before: number = this.#left;
        this.#left = await store.convert();
        if (this.#left === 0) log.info('all events of the older version are converted');
        else if (clock() - this.#loggedAt >= LOG_MS) {
          this.#loggedAt = clock();
          log.info({ events: this.#left }, 'events of an older version are still to be converted');
        }
        // The store waits for disk space.
        if (this.#left === before) return;
      }
    } catch (error) {
      // Central stops; the next start goes on.
      if (!isCoded(error, 'store_stopped')) throw error;
    }
  }
}

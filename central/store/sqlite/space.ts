// Keeps disk space free: the writing thread measures before each transaction. Below the reserve, calls that add data
// are refused and everything else goes on; with no space left the store stops, before a commit fails half way.
import { statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { databaseFault } from '../../../shared/sqlite/errors.ts';
import { integer } from '../../../shared/sqlite/row.ts';
import { ALARM_FACTOR, HYSTERESIS, RESERVE_SHARE, type SpaceState, type StoreSpace } from '../space/bounds.ts';
import { storeFault } from '../errors.ts';

interface SpaceOptions {
  readonly database: DatabaseSync;
  readonly folder: string;
  readonly path: string;
  /** fs.statfsSync. */
  readonly statfs: (folder: string) => { readonly bavail: number; readonly blocks: number; readonly bsize: number };
  /** As long as this is so, the write-ahead log cannot be cut back. */
  readonly logHeld: () => boolean;
  /** Milliseconds of a clock that only goes forward. */
  readonly clock: () => number;
}

/** With less than this the store stops: SQLite needs some pages for any commit. */
const NOTHING_LEFT = 1024 * 1024;
/** Cutting the log back costs two fsyncs: not for each commit. */
const CUT_MS = 1_000;
/** A page is written to the log, and from there into the database. */
const WRITTEN_TWICE = 2;

interface Measured {
  readonly free: number;
  readonly log: number;
  readonly reserve: number;
}

export class DiskSpace {
  readonly #options: SpaceOptions;
  readonly #freePages;
  readonly #pageBytes: number;
  #setting = 0;
  #state: SpaceState = 'unwatched';
  #measured: Measured | undefined;
  #available = 0;
  /** What this transaction may still bring before the reserve is reached. */
  #left = Infinity;
  #lastCut = -Infinity;

  constructor(options: SpaceOptions) {
    this.#options = options;
    this.#freePages = options.database.prepare('PRAGMA freelist_count');
    this.#pageBytes = integer(options.database.prepare('PRAGMA page_size').get(), 'page_size');
  }

  /** 0: no reserve. Counts from the next measurement on. */
  setReserve(bytes: number): void {
    this.#setting = bytes;
  }

  /**
   * Before each transaction, and outside of it: a few microseconds as long as there is room.
   * Errors: store_failed (nothing is left).
   */
  measure(): void {
    this.#measured = this.#setting === 0 ? undefined : this.#look();
    if (this.#measured === undefined) {
      this.#state = 'unwatched';
      this.#left = Infinity;
      return;
    }
    let { free, log, reserve } = this.#measured;
    if (free - log < reserve * ALARM_FACTOR * HYSTERESIS) {
      if (free < Math.min(NOTHING_LEFT, reserve / 8)) throw this.#nothingLeft(free);
      if (this.#cutLog(free, log, reserve)) ({ free, log, reserve } = this.#measured = this.#look() ?? this.#measured);
    }
    // Pages that were deleted are free inside the file, which does not become smaller by it; the log still has to be
    // copied into it.
    this.#available = Math.max(0, free - log + integer(this.#freePages.get(), 'freelist_count') * this.#pageBytes);
    this.#state = this.#next(this.#available, free + log, reserve);
    this.#left = this.#state === 'reserved' ? 0 : this.#available - reserve;
  }

  /**
   * Asks for room for new data. Data that just does not fit is let in, so that a small rest does not refuse large
   * messages for ever: the reserve pays for one call at most. Errors: store_reserve.
   */
  take(bytes: number): void {
    if (this.#left <= 0)
      throw storeFault('store_reserve', { available: this.#available, reserve: this.#measured?.reserve ?? 0 });
    this.#left -= bytes * WRITTEN_TWICE;
  }

  report(): StoreSpace {
    const { free = null, reserve = this.#setting } = this.#measured ?? {};
    return {
      state: this.#state,
      freeBytes: free,
      availableBytes: this.#measured === undefined ? null : this.#available,
      reserveBytes: reserve,
    };
  }

  #look(): Measured | undefined {
    const { folder, path, statfs } = this.#options;
    try {
      const { bavail, blocks, bsize } = statfs(folder);
      const log = statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
      return {
        free: bavail * bsize,
        log,
        reserve: Math.min(this.#setting, Math.floor((blocks * bsize) / RESERVE_SHARE)),
      };
    } catch {
      // A file system that does not say how much is free: then a full disk ends the store, as without a reserve.
      return undefined;
    }
  }

  /** The log needs room of its own (`raw`), however much is free inside the database. */
  #next(available: number, raw: number, reserve: number): SpaceState {
    const below = (factor: number): boolean => available < reserve * factor || raw < (reserve * factor) / 2;
    const before = this.#state;
    if (below(before === 'reserved' ? HYSTERESIS : 1)) return 'reserved';
    const watchful = before === 'low' || before === 'reserved';
    return available < reserve * ALARM_FACTOR * (watchful ? HYSTERESIS : 1) ? 'low' : 'ample';
  }

  /** True when it was tried. Not where it would not fit: then it has to wait for room. */
  #cutLog(free: number, log: number, reserve: number): boolean {
    const { database, logHeld, clock } = this.#options;
    if (log < reserve / 16 || log >= free || logHeld()) return false;
    // Before it refuses anything it looks at what is really left.
    const decides = free - log < reserve && this.#state !== 'reserved';
    // What goes on below the reserve (pruning, above all) is fast enough to fill what is left with the log within that
    // time.
    const isUrgent = log > free / 2;
    if (!decides && !isUrgent && clock() - this.#lastCut < CUT_MS) return false;
    this.#lastCut = clock();
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    return true;
  }

  #nothingLeft(free: number): Error {
    const { folder } = this.#options;
    return databaseFault('store_failed', {
      found: `the file system of ${folder} has ${free} bytes left`,
      hint: `Free space on the disk of ${folder} and start again. No acknowledged message is lost.`,
    });
  }
}

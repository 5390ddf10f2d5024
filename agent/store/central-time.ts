// Central's time at the agent, by which commands expire. The clock of this host may be wrong and may jump: it decides
// nothing for good. Central's time comes with each welcome, and goes on with the time since boot; on disk it outlives
// the process. Synchronous: `save` runs inside a transaction of the caller.
import type { DatabaseSync } from 'node:sqlite';
import { bootId, sinceBootMs } from '../../shared/platform/boot.ts';
import { integer, textOrNull } from '../../shared/sqlite/row.ts';

export interface HostClocks {
  /** The clock of the host. */
  readonly now: () => number;
  /** No setting of the clock moves it. */
  readonly sinceBootMs?: (() => number) | undefined;
  /** Names this boot; null where the system has no name for it. */
  readonly bootId?: (() => string | null) | undefined;
}

/** At `sinceBootMs` of this boot, Central's time was at least `at`. */
interface Anchor {
  readonly at: number;
  readonly sinceBootMs: number;
}

export class CentralTime {
  readonly #statements: ReturnType<typeof prepare>;
  readonly #now: () => number;
  readonly #sinceBootMs: () => number;
  readonly #bootId: string | null;
  #anchor: Anchor;
  /** How far the clock of the host was ahead of Central's when both were last known. */
  #aheadMs = 0;
  /** Central's time is known since this boot. Else it is at least what `atLeast` says. */
  #isKnown = false;

  constructor(database: DatabaseSync, clocks: HostClocks) {
    this.#statements = prepare(database);
    this.#now = clocks.now;
    this.#sinceBootMs = clocks.sinceBootMs ?? sinceBootMs;
    this.#bootId = (clocks.bootId ?? bootId)();
    this.#anchor = { at: 0, sinceBootMs: this.#sinceBootMs() };
    this.#load();
  }

  /**
   * Central's welcome has come, with its time. That was read before the welcome was on the line: the real one is ahead
   * by less than the handshake took.
   */
  welcomed(time: number): void {
    this.#anchor = { at: time, sinceBootMs: this.#sinceBootMs() };
    this.#aheadMs = Math.round(this.#now()) - time;
    this.#isKnown = true;
  }

  save(): void {
    const { at, sinceBootMs: since } = this.#anchor;
    this.#statements.save.run(at, Math.floor(since), this.#bootId, this.#aheadMs);
  }

  /** Central's time is this, or later: what ended before it has expired. 0 before the first welcome of this agent. */
  atLeast(): number {
    const { at, sinceBootMs: since } = this.#anchor;
    return at === 0 ? 0 : at + Math.max(0, this.#sinceBootMs() - since);
  }

  /**
   * What Central's time probably is. The same as `atLeast` when it is known; after a boot without a session it follows
   * the clock of the host, with its difference to Central's clock before.
   */
  probably(): number {
    const least = this.atLeast();
    return this.#isKnown ? least : Math.max(least, this.#now() - this.#aheadMs);
  }

  #load(): void {
    const row = this.#statements.load.get();
    if (row === undefined) return;
    const [at, since] = [integer(row, 'at'), integer(row, 'since_boot_ms')];
    const sinceBoot = this.#sinceBootMs();
    this.#aheadMs = integer(row, 'ahead_ms');
    const boot = textOrNull(row, 'boot_id');
    this.#isKnown = boot !== null && boot === this.#bootId && sinceBoot >= since;
    // Another boot came later than the record, so that all of its time counts. Which one it is may not be known.
    const isOther = boot !== null && this.#bootId !== null && boot !== this.#bootId;
    this.#anchor = { at, sinceBootMs: this.#isKnown ? since : isOther ? 0 : sinceBoot };
  }
}

function prepare(database: DatabaseSync) {
  return {
    load: database.prepare('SELECT at, since_boot_ms, boot_id, ahead_ms FROM central_time'),
    save: database.prepare(
      'INSERT OR REPLACE INTO central_time (only, at, since_boot_ms, boot_id, ahead_ms) VALUES (1, ?, ?, ?, ?)',
    ),
  };
}

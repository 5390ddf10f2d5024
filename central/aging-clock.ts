// The time by which messages and records grow old. It does not jump: when the clock of the host is set by more than a
// day, against the time since boot or against the time that was recorded before this start, nothing is pruned and
// nothing expires until the clock is right again, or an administrator accepts it (queuegate maintenance accept-clock).
import { sinceBootMs } from '../shared/platform/boot.ts';
import { auditEntry, type Actor } from './audit.ts';
import { problemFault, problemOf, type Problem } from './problems.ts';
import type { ClockStore } from './store/store.ts';

interface AgingClockOptions {
  readonly store: { readonly clock: ClockStore };
  readonly log: { warn(facts: object, text: string): void; info(facts: object, text: string): void };
  /** The clock of the host. */
  readonly now: () => number;
  /** Since boot, with the time in which the host was suspended; no setting of the clock moves it. */
  readonly sinceBootMs?: () => number;
}

interface Doubt {
  /** What the clock would show without the step. */
  readonly expectedAt: number;
  readonly foundAt: number;
}

/** Time servers correct by less; a wrong battery, a wrong time zone in a container and a resumed machine by more. */
const STEP_MS = 86_400_000;

export class AgingClock {
  readonly #options: AgingClockOptions;
  readonly #sinceBootMs: () => number;
  /** A time that was right, and when that was since boot. */
  #anchor: { readonly at: number; readonly bootMs: number };
  #doubt: Doubt | undefined;

  constructor(options: AgingClockOptions, recordedAt: number | null) {
    this.#options = options;
    this.#sinceBootMs = options.sinceBootMs ?? sinceBootMs;
    this.#anchor = { at: recordedAt ?? options.now(), bootMs: this.#sinceBootMs() };
  }

  /** `isRestored`: the store is a backup, whose time is that of the backup. */
  static async open(options: AgingClockOptions, isRestored: boolean): Promise<AgingClock> {
    const clock = new AgingClock(options, isRestored ? null : await options.store.clock.recorded());
    clock.now();
    return clock;
  }

  /** The clock of the host; 0, by which nothing is old, while it is in doubt. */
  now(): number {
    const [at, bootMs] = [this.#options.now(), this.#sinceBootMs()];
    const expectedAt = this.#anchor.at + (bootMs - this.#anchor.bootMs);
    const before = this.#doubt;
    if (Math.abs(at - expectedAt) > STEP_MS) {
      this.#doubt = { expectedAt, foundAt: at };
      const { message, hint, code } = faultOf(this.#doubt);
      if (before === undefined) this.#options.log.warn({ code }, `${message} ${hint}`);
      return 0;
    }
    this.#doubt = undefined;
    this.#anchor = { at, bootMs };
    if (before !== undefined)
      this.#options.log.info({ code: 'clock_stepped' }, 'the clock is right again: pruning and expiry continue');
    return at;
  }

  /**
   * A time that does not jump, for agents: they expire commands by it. While the clock of the host is in doubt, the
   * last time that was right, with what has passed since boot.
   */
  steady(): number {
    return Math.floor(this.offsetMs() + this.#sinceBootMs());
  }

  /** From the time since boot to `steady`: the same until the clock is set. */
  offsetMs(): number {
    this.now();
    return this.#anchor.at - this.#anchor.bootMs;
  }

  /** Records the time for the next start, unless it is in doubt. */
  async record(): Promise<void> {
    const at = this.now();
    if (at !== 0) await this.#options.store.clock.record(at);
  }

  /** The clock is right as it is now. The times that differed; null when nothing was in doubt. */
  async accept(actor: Actor): Promise<Doubt | null> {
    this.now();
    const doubt = this.#doubt ?? null;
    const at = this.#options.now();
    const detail = doubt === null ? {} : timesOf(doubt);
    await this.#options.store.clock.accept(at, auditEntry(actor, 'maintenance.accept-clock', detail, at));
    this.#anchor = { at, bootMs: this.#sinceBootMs() };
    this.#doubt = undefined;
    return doubt;
  }

  /** For the status; empty while the clock is not in doubt. */
  problems(): Problem[] {
    this.now();
    return this.#doubt === undefined ? [] : [problemOf(faultOf(this.#doubt), this.#options.now())];
  }
}

function timesOf({ expectedAt, foundAt }: Doubt): { readonly expectedAt: string; readonly foundAt: string } {
  return { expectedAt: new Date(expectedAt).toISOString(), foundAt: new Date(foundAt).toISOString() };
}

function faultOf(doubt: Doubt) {
  return problemFault('clock_stepped', timesOf(doubt));
}

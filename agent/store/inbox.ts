// Stores the commands from Central for the local programs: on disk before they are acknowledged to Central, kept
// until a program has acknowledged them. A full inbox makes Central wait; nothing is dropped. Implements InboxPort
// (shared/delivery/log-interfaces.ts).
import { tombstoneJson, type Item } from '../../shared/delivery/message.ts';
import type { OutboxBounds } from '../../shared/delivery/log-interfaces.ts';
import { databaseFault } from '../../shared/sqlite/errors.ts';
import { ID_REUSED, type Begin, type InboxLog } from '../../shared/sqlite/logs/inbox-log.ts';
import type { Position } from '../../shared/wire/messages.ts';
import type { Commands, CommandTotal, TakenCommand } from './commands.ts';
import type { Disk } from './outbox.ts';
import { CENTRAL } from './migrations.ts';
import type { DeadLetterLog } from './dead-letters.ts';
import type { IncidentLog } from './incidents.ts';

interface InboxOptions {
  readonly disk: Disk;
  readonly log: InboxLog;
  readonly commands: Commands;
  readonly incidents: IncidentLog;
  readonly deadLetters: DeadLetterLog;
  readonly bounds: OutboxBounds;
  readonly now: () => number;
}

interface InboxDepth extends CommandTotal {
  readonly oldestAt: number | null;
}

interface WaitingAppend {
  readonly first: number;
  readonly items: readonly Item[];
  readonly messages: number;
  readonly bytes: number;
  readonly resolve: (through: number) => void;
  readonly reject: (error: unknown) => void;
}

/** So many commands are given up in one commit. */
const EXPIRE_STEP = 200;

export class Inbox {
  readonly #options: InboxOptions;
  /** What is on disk, as the last commit left it. */
  #total: CommandTotal;
  /** Appends in order; the first one is under way, or waits for room. */
  #appends: WaitingAppend[] = [];
  #appending = false;
  #stopped = false;
  readonly #takers = new Set<() => void>();

  constructor(options: InboxOptions) {
    this.#options = options;
    this.#total = options.commands.total();
  }

  /**
   * What the hello says. A new session begins with it, and reads it behind everything that was handed to the disk before;
   * what an older session still waits to append is rejected: Central sends it again.
   */
  position(): Promise<Position | null> {
    this.#rejectWaiting(databaseFault('session_over', {}));
    return this.#options.disk.write(() => this.#options.log.position(CENTRAL));
  }

  begin(begin: Begin): Promise<void> {
    const { disk, log, incidents, now } = this.#options;
    return disk.write(() => {
      const lost = log.begin(CENTRAL, begin);
      if (lost && begin.missing !== null) incidents.recordRestart('down', begin.incarnation, begin.missing, now());
    });
  }

  /**
   * Resolves when the items are on disk, with the last number; waits while the inbox is full. Rejects with
   * log_violation, with session_over when a newer session begins, and with store_stopped.
   */
  append(first: number, items: readonly Item[]): Promise<number> {
    if (this.#stopped) return Promise.reject(databaseFault('store_stopped', {}));
    let messages = 0;
    let bytes = 0;
    for (const item of items) {
      if (item.kind !== 'message') continue;
      messages += 1;
      bytes += Buffer.byteLength(item.message.json);
    }
    return new Promise((resolve, reject) => {
      this.#appends.push({ first, items, messages, bytes, resolve, reject });
      this.#admit();
    });
  }

  /** The oldest commands behind `after` that are not acknowledged. Expired ones go to the dead letters. */
  async take(max: number, after = 0): Promise<TakenCommand[]> {
    const { disk, commands, now } = this.#options;
    if (await disk.read(() => commands.anyExpired(now()))) await this.expire();
    return disk.read(() => commands.take(max, after));
  }

  /** Resolves when all commands through this cursor are gone from the disk. */
  async acknowledge(through: number): Promise<void> {
    await this.#change(() => this.#options.commands.remove(through));
  }

  /** Resolves when there is a command to take, after `timeoutMs`, when `signal` aborts, or on stop. */
  waitForCommands(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (this.#total.messages > 0 || this.#stopped || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#takers.delete(done);
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      signal.addEventListener('abort', done);
      this.#takers.add(done);
    });
  }

  /** Moves commands whose time has passed to the dead letters; the number of them. */
  async expire(): Promise<number> {
    const { commands, deadLetters, now } = this.#options;
    let expired = 0;
    let step: number;
    do {
      step = await this.#change(() => {
        const at = now();
        const given = commands.expire(at, EXPIRE_STEP);
        for (const { number, id, json } of given)
          deadLetters.record({ at, direction: 'down', number, id, reason: 'expired', json });
        return given.length;
      });
      expired += step;
    } while (step === EXPIRE_STEP);
    return expired;
  }

  depth(): Promise<InboxDepth> {
    const { disk, commands } = this.#options;
    return disk.read(() => ({ ...commands.total(), oldestAt: commands.oldestAt() }));
  }

  /** Lets go of everybody who waits. What is on its way to the disk gets there. */
  stop(): void {
    this.#stopped = true;
    this.#rejectWaiting(databaseFault('store_stopped', {}));
    for (const done of this.#takers) done();
  }

  /** Starts the next append when there is room. One larger than the whole inbox has room in an empty one. */
  #admit(): void {
    const next = this.#appends[0];
    if (next === undefined || this.#appending) return;
    const { maxMessages, maxBytes } = this.#options.bounds;
    const { messages, bytes } = this.#total;
    const fits = messages + next.messages <= maxMessages && bytes + next.bytes <= maxBytes;
    if (!fits && messages > 0 && next.messages > 0) return;
    this.#appending = true;
    this.#change(() => this.#store(next.first, next.items))
      .then(next.resolve, next.reject)
      .finally(() => {
        this.#appends.shift();
        this.#appending = false;
        this.#admit();
      });
  }

  #store(first: number, items: readonly Item[]): number {
    const { log, commands, deadLetters, now } = this.#options;
    const at = now();
    const { through, fresh, reused } = log.accept(CENTRAL, first, items, at);
    for (const [index, item] of items.entries()) {
      const number = first + index;
      if (item.kind === 'message') {
        if (fresh[index] === true) commands.add(number, item.message, at);
        else if (reused.has(index))
          deadLetters.record({
            at,
            direction: 'down',
            number,
            id: item.message.id,
            reason: ID_REUSED,
            json: item.message.json,
          });
      } else {
        const json = item.kind === 'tombstone' ? tombstoneJson(item.id, item.source, item.reason) : item.json;
        deadLetters.record({ at, direction: 'down', number, id: item.id, reason: item.reason, json });
      }
    }
    return through;
  }

  /** Runs what changes the commands, and after its commit tells those who waited for that. */
  async #change<T>(work: () => T): Promise<T> {
    const { disk, commands } = this.#options;
    const { result, total } = await disk.write(() => ({ result: work(), total: commands.total() }));
    this.#total = total;
    if (total.messages > 0) for (const done of this.#takers) done();
    this.#admit();
    return result;
  }

  #rejectWaiting(error: unknown): void {
    const waiting = this.#appends.splice(this.#appending ? 1 : 0);
    for (const append of waiting) append.reject(error);
  }
}

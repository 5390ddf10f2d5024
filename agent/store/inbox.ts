// Stores the commands from Central for the local programs: on disk before they are acknowledged to Central, kept
// until the consumer that they belong to has acknowledged them. A full inbox makes Central wait; nothing is dropped.
// Implements InboxPort (shared/delivery/log-interfaces.ts).
import { tombstoneJson, type Item, type Message } from '../../shared/delivery/message.ts';
import type { OutboxBounds } from '../../shared/delivery/log-interfaces.ts';
import { readMessageFrames, type MessageFrame } from '../../shared/delivery/message-frames.ts';
import { databaseFault } from '../../shared/sqlite/errors.ts';
import { EXPIRED, ID_REUSED } from '../../shared/delivery/dead-letters.ts';
import type { Begin, InboxLog } from '../../shared/sqlite/logs/inbox-log.ts';
import type { Consumers, Position } from '../../shared/wire/messages.ts';
import { readTaskStart, TASK_SOURCE, TASK_START } from '../../shared/wire/tasks/frames.ts';
import type { Commands, CommandTotal, ConsumerTotal, NewCommand, TakenCommand } from './commands.ts';
import type { Disk } from './outbox.ts';
import { CENTRAL } from './migrations.ts';
import type { CentralTime } from './central-time.ts';
import type { ExpiredBatch, ExpiredLog } from './expired.ts';
import type { DeadLetterLog, IncidentLog } from './records.ts';
import type { TaskLog } from './tasks.ts';
import { DEFAULT_CONSUMER, Routing } from './routing.ts';

interface InboxOptions {
  readonly disk: Disk;
  readonly log: InboxLog;
  readonly commands: Commands;
  readonly incidents: IncidentLog;
  readonly deadLetters: DeadLetterLog;
  readonly expired: ExpiredLog;
  /** Commands that start tasks go there, in the transaction that takes them out of Central's log. */
  readonly tasks: Pick<TaskLog, 'accept'>;
  readonly centralTime: CentralTime;
  readonly bounds: OutboxBounds;
  readonly now: () => number;
}

interface InboxDepth extends CommandTotal {
  readonly oldestAt: number | null;
}

/** A consumer as local programs see it. */
interface ConsumerDepth extends ConsumerTotal {
  readonly types: readonly string[];
  readonly oldestAt: number | null;
}

/** Why no command is accepted at present. */
interface FullInbox {
  readonly since: number;
  readonly messages: number;
  readonly bytes: number;
  readonly bounds: OutboxBounds;
  /** The consumer that fills it most, and how many commands it has not acknowledged. */
  readonly consumer: string;
  readonly waiting: number;
}

interface WaitingTaker {
  readonly consumer: string;
  readonly after: number;
  readonly done: () => void;
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
  #routing = new Routing();
  /** What is on disk for each consumer, as the last commit left it. */
  #totals: readonly ConsumerTotal[];
  /** Appends in order; the first one is under way, or waits for room. */
  #appends: WaitingAppend[] = [];
  #appending = false;
  /** Since when an append waits for room, and how many commands there were then. */
  #full: { readonly since: number; readonly messages: number } | undefined;
  #stopped = false;
  readonly #takers = new Set<WaitingTaker>();
  readonly #listeners = new Set<() => void>();

  constructor(options: InboxOptions) {
    this.#options = options;
    this.#totals = options.commands.totals();
  }

  /**
   * Routes what is stored from now on. What is stored keeps its consumer, unless that one is gone: then it goes to
   * `default`. Resolves with the names of the consumers that are gone.
   */
  async route(routing: Routing): Promise<string[]> {
    const gone = await this.#change(() => {
      const found = this.#options.commands.setConsumers(routing.consumers.map(({ name }) => name));
      this.#routing = routing;
      return found;
    });
    return gone;
  }

  /** Calls `listener` after each commit that changed what consumers have to take or have acknowledged; a hint. */
  onChanged(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /**
   * What the hello says. A new session begins with it, and reads it behind everything that was handed to the disk
   * before; what an older session still waits to append is rejected: Central sends it again.
   */
  position(): Promise<Position | null> {
    this.#rejectWaiting(databaseFault('session_over', {}));
    return this.#options.disk.write(() => this.#options.log.position(CENTRAL));
  }

  begin(begin: Begin): Promise<void> {
    const { disk, log, incidents, now } = this.#options;
    return disk.write(() => {
      const lost = log.begin(CENTRAL, begin);
      if (log.position(CENTRAL) === null) this.#options.commands.forgetNumbers();
      if (lost && begin.missing !== null) incidents.recordRestart('down', begin.incarnation, begin.missing, now());
    });
  }

  /**
   * Resolves when the items are on disk, with the last number; waits while the inbox is full. Rejects with bad_frame,
   * log_violation, with session_over when a newer session begins, and with store_stopped.
   */
  async append(next: number, frames: readonly MessageFrame[]): Promise<number> {
    if (this.#stopped) throw databaseFault('store_stopped', {});
    const items = readMessageFrames(next, frames);
    let messages = 0;
    let bytes = 0;
    for (const item of items) {
      if (item.kind !== 'message') continue;
      messages += 1;
      bytes += Buffer.byteLength(item.message.json);
    }
    return await new Promise((resolve, reject) => {
      this.#appends.push({ first: next, items, messages, bytes, resolve, reject });
      this.#admit();
    });
  }

  /**
   * The oldest commands of a consumer behind `after` that it has not acknowledged. Expired ones go to the dead letters.
   * One that has probably expired waits until Central's time is known, and those behind it with it.
   * Errors: local_consumer_unknown.
   */
  async take(consumer: string, max: number, after = 0): Promise<TakenCommand[]> {
    const { disk, commands, centralTime } = this.#options;
    if (await disk.read(() => commands.anyExpired(centralTime.atLeast()))) await this.expire();
    return disk.read(() => commands.take(consumer, max, after, this.#heldFrom(consumer)));
  }

  /**
   * The consumer may acknowledge through this cursor from now on, after a kill too. It is on disk with the next commit,
   * 50 ms later at the latest: a wait for the disk before each page and another one for its acknowledgement would halve
   * what a program can take.
   */
  async deliver(consumer: string, through: number): Promise<void> {
    if (through <= this.#totalOf(consumer).delivered) return;
    const { disk, commands } = this.#options;
    const mark = (): readonly ConsumerTotal[] => {
      commands.setDelivered(consumer, through);
      return commands.totals();
    };
    this.#totals = await disk.write(mark, { unsynced: true });
    // A store that fails reports itself.
    disk.write(mark, { lazy: true }).catch(() => undefined);
  }

  /**
   * Resolves when all commands of the consumer through this cursor are gone from the disk. Errors: those of Commands.
   */
  async acknowledge(consumer: string, through: number): Promise<void> {
    await this.#change(() => this.#options.commands.acknowledge(consumer, through));
  }

  /** The last cursor of the consumer that may be taken; 0: none. */
  lastCursor(consumer: string): number {
    const { last } = this.#totalOf(consumer);
    return last === 0 ? 0 : Math.min(last, this.#heldFrom(consumer) - 1);
  }

  /**
   * Resolves when there may be a command of the consumer behind `after`, after `timeoutMs`, when `signal` aborts, or on
   * stop.
   */
  waitForCommands(consumer: string, timeoutMs: number, signal: AbortSignal, after = 0): Promise<void> {
    if (this.#stopped || signal.aborted || this.#mayHave(consumer, after)) return Promise.resolve();
    return new Promise((resolve) => {
      const taker = {
        consumer,
        after,
        done: (): void => {
          this.#takers.delete(taker);
          clearTimeout(timer);
          signal.removeEventListener('abort', taker.done);
          resolve();
        },
      };
      const timer = setTimeout(taker.done, timeoutMs);
      signal.addEventListener('abort', taker.done);
      this.#takers.add(taker);
    });
  }

  /** Central's welcome has come, with its time: what was held back is handed out, or has expired. */
  async setCentralTime(time: number): Promise<void> {
    const { disk, centralTime } = this.#options;
    centralTime.welcomed(time);
    await disk.write(() => centralTime.save());
    await this.expire();
  }

  /** What has expired and Central does not know yet, as much as fits into a frame; undefined: nothing. */
  expiredBatch(): Promise<ExpiredBatch | undefined> {
    const { disk, expired } = this.#options;
    return disk.read(() => expired.batch());
  }

  /** Central has recorded what was reported through this count. */
  async setExpiredRecorded(through: number): Promise<void> {
    const { disk, expired } = this.#options;
    await disk.write(() => expired.recorded(through));
  }

  /**
   * Moves commands whose time has passed at Central to the dead letters, and keeps that for Central; the number of
   * them.
   */
  async expire(): Promise<number> {
    const { commands, deadLetters, expired: log, centralTime, now } = this.#options;
    let expired = 0;
    let step: number;
    do {
      step = await this.#change(() => {
        const at = now();
        const expiring = commands.expire(centralTime.atLeast(), EXPIRE_STEP);
        for (const { number, id, json, consumer } of expiring) {
          deadLetters.record({ at, direction: 'down', number, id, reason: EXPIRED, json });
          log.add({ number, throughNumber: number, count: 1, id, source: sourceOf(json), consumer });
        }
        return expiring.length;
      });
      expired += step;
    } while (step === EXPIRE_STEP);
    return expired;
  }

  depth(): Promise<InboxDepth> {
    const { disk, commands } = this.#options;
    return disk.read(() => ({ ...sum(commands.totals()), oldestAt: commands.oldestAt() }));
  }

  /** All consumers, `default` first. */
  consumers(): Promise<ConsumerDepth[]> {
    const { disk, commands } = this.#options;
    return disk.read(() =>
      commands.totals().map((total) => ({
        ...total,
        types: this.#typesOf(total.name),
        oldestAt: commands.oldestAtOf(total.name),
      })),
    );
  }

  /** Null: there is room, or nothing has come that needs it. */
  fullness(): FullInbox | null {
    if (this.#full === undefined) return null;
    const { bounds } = this.#options;
    const share = ({ messages, bytes }: ConsumerTotal): number =>
      Math.max(messages / bounds.maxMessages, bytes / bounds.maxBytes);
    const [slowest] = this.#totals.toSorted((one, other) => share(other) - share(one));
    const { name, messages } = slowest ?? { ...NOTHING, name: DEFAULT_CONSUMER };
    return { since: this.#full.since, ...sum(this.#totals), bounds, consumer: name, waiting: messages };
  }

  /** How far the consumers are in Central's log (docs/PROTOCOL.md, consumers). */
  consumerPositions(): Promise<Omit<Consumers, 'type'>> {
    const { disk, log, commands } = this.#options;
    return disk.read(() => ({
      position: log.position(CENTRAL),
      inboxFull: this.#full !== undefined,
      consumers: commands.totals().map(({ name, messages }) => ({
        name,
        types: [...this.#typesOf(name)],
        waitingFrom: commands.firstNumberOf(name),
        waitingCount: messages,
      })),
    }));
  }

  /** Lets go of everybody who waits. What is on its way to the disk gets there. */
  stop(): void {
    this.#stopped = true;
    this.#rejectWaiting(databaseFault('store_stopped', {}));
    for (const { done } of this.#takers) done();
  }

  /** Starts the next append when there is room. One larger than the whole inbox has room in an empty one. */
  #admit(): void {
    const next = this.#appends[0];
    if (this.#appending) return;
    const { messages, bytes } = sum(this.#totals);
    if (next === undefined) {
      // Whatever Central still has for it comes in the next session.
      if (this.#full !== undefined && messages < this.#full.messages) this.#setFull(undefined);
      return;
    }
    const { maxMessages, maxBytes } = this.#options.bounds;
    const fits = messages + next.messages <= maxMessages && bytes + next.bytes <= maxBytes;
    if (!fits && messages > 0 && next.messages > 0) {
      if (this.#full === undefined) this.#setFull({ since: this.#options.now(), messages });
      return;
    }
    if (this.#full !== undefined) this.#setFull(undefined);
    this.#appending = true;
    this.#change(() => this.#store(next.first, next.items))
      .then(next.resolve, next.reject)
      .finally(() => {
        this.#appends.shift();
        this.#appending = false;
        this.#admit();
      });
  }

  #setFull(full: { readonly since: number; readonly messages: number } | undefined): void {
    this.#full = full;
    for (const listener of this.#listeners) listener();
  }

  #store(first: number, items: readonly Item[]): number {
    const { log, commands, deadLetters, now } = this.#options;
    const at = now();
    const { through, fresh, reused } = log.accept(CENTRAL, first, items, at);
    const batch: NewCommand[] = [];
    for (const [index, item] of items.entries()) {
      const number = first + index;
      if (item.kind === 'message') {
        const { message } = item;
        if (fresh[index] === true && message.type === TASK_START && message.source === TASK_SOURCE)
          this.#acceptTask(number, message, at);
        else if (fresh[index] === true)
          batch.push({ number, message, consumer: this.#routing.consumerOf(message.type) });
        else if (reused.has(index))
          deadLetters.record({
            at,
            direction: 'down',
            number,
            id: message.id,
            reason: ID_REUSED,
            json: message.json,
          });
      } else {
        const json = item.kind === 'tombstone' ? tombstoneJson(item.id, item.source, item.reason) : item.json;
        deadLetters.record({ at, direction: 'down', number, id: item.id, reason: item.reason, json });
      }
    }
    commands.add(batch, at);
    return through;
  }

  /** A start that a newer Central writes otherwise is not guessed at. */
  #acceptTask(number: number, { id, json }: Message, at: number): void {
    const start = readTaskStart(json);
    if (typeof start !== 'string') return this.#options.tasks.accept(start, at);
    this.#options.deadLetters.record({ at, direction: 'down', number, id, reason: `/data ${start}`, json });
  }

  /** Runs what changes the commands, and after its commit wakes those who waited for that. */
  async #change<T>(work: () => T): Promise<T> {
    const { disk, commands } = this.#options;
    const { result, totals } = await disk.write(() => ({ result: work(), totals: commands.totals() }));
    this.#totals = totals;
    for (const { consumer, after, done } of this.#takers) if (this.#mayHave(consumer, after)) done();
    for (const listener of this.#listeners) listener();
    this.#admit();
    return result;
  }

  #mayHave(consumer: string, after: number): boolean {
    const { messages, last } = this.#totalOf(consumer);
    if (messages === 0 || last <= after) return false;
    const held = this.#heldFrom(consumer);
    return held === NONE_HELD || this.#options.commands.take(consumer, 1, after, held).length > 0;
  }

  /**
   * The cursor from which on commands of the consumer wait for Central's time: handed out, a program could act on one
   * that has expired; in the dead letters, one that is valid would be lost.
   */
  #heldFrom(consumer: string): number {
    const { commands, centralTime } = this.#options;
    const probably = centralTime.probably();
    if (probably <= centralTime.atLeast()) return NONE_HELD;
    return commands.firstEndingBy(consumer, probably) ?? NONE_HELD;
  }

  /** A consumer that is gone has nothing. */
  #totalOf(consumer: string): ConsumerTotal {
    return this.#totals.find(({ name }) => name === consumer) ?? { ...NOTHING, name: consumer };
  }

  #typesOf(consumer: string): readonly string[] {
    return this.#routing.consumers.find(({ name }) => name === consumer)?.types ?? [];
  }

  #rejectWaiting(error: unknown): void {
    const waiting = this.#appends.splice(this.#appending ? 1 : 0);
    for (const append of waiting) append.reject(error);
  }
}

/** Above every cursor. */
const NONE_HELD = Number.MAX_SAFE_INTEGER;

/** The source of a message, which was validated before it was stored. */
function sourceOf(json: string): string {
  const { source } = JSON.parse(json) as { readonly source: string };
  return source;
}

const NOTHING = { messages: 0, bytes: 0, last: 0, delivered: 0, acknowledged: 0 };

function sum(totals: readonly ConsumerTotal[]): CommandTotal {
  return totals.reduce(
    (all, { messages, bytes }) => ({ messages: all.messages + messages, bytes: all.bytes + bytes }),
    { messages: 0, bytes: 0 },
  );
}

// Checks a history (history.ts): every promise of docs/RELIABILITY.md that can be seen from outside, each with a name
// for its breach. Knows no process and no clock: the order of the list is all the time there is.
import type { Deed } from './history.ts';

export type FaultKind =
  /** Acknowledged and never delivered to one who follows the log; or a number of the log that no one ever got. */
  | 'loss'
  /** The same (source, id) at two places of the receiver's log. */
  | 'duplicate'
  /** Against the order of the log, or of the producer. */
  | 'disorder'
  /** An acknowledgement for what was not there afterwards. */
  | 'early-ack'
  /** Delivered, though no producer had offered it. */
  | 'stranger';

export interface Fault {
  readonly kind: FaultKind;
  readonly log: string;
  readonly message: string;
  readonly text: string;
}

type Of<K extends Deed['deed']> = Extract<Deed, { readonly deed: K }>;

/**
 * What is wrong with a history, each breach by name; nothing for one that keeps all promises. The system must have come
 * to rest.
 */
export function check(deeds: readonly Deed[]): Fault[] {
  const faults: Fault[] = [];
  const logs = new Map<string, LogChecker>();
  const consumers = new Map<string, ConsumerChecker>();
  const report = (kind: FaultKind, log: string, message: string, text: string): void =>
    void faults.push({ kind, log, message, text });
  const logOf = (log: string): LogChecker => getOrMake(logs, log, () => new LogChecker(log, report));
  const consumerOf = (consumer: string): ConsumerChecker =>
    getOrMake(consumers, consumer, () => new ConsumerChecker(consumer, report));
  for (const deed of deeds) {
    switch (deed.deed) {
      case 'offered':
        logOf(deed.log).offered(deed);
        break;
      case 'accepted':
        logOf(deed.log).accepted(deed);
        break;
      case 'received':
        logOf(deed.log).received(deed);
        consumerOf(deed.consumer).received(deed);
        break;
      case 'settled':
        consumerOf(deed.consumer).settled(deed.through);
        break;
      case 'follows':
        consumerOf(deed.consumer).follows(deed.log);
        logOf(deed.log);
        break;
      case 'killed':
        break;
    }
  }
  for (const log of logs.values()) log.checkOrder();
  for (const consumer of consumers.values()) consumer.checkLoss(logs);
  return faults;
}

type Report = (kind: FaultKind, log: string, message: string, text: string) => void;

/** One direction of one agent, as its producers and all its consumers saw it together. */
class LogChecker {
  readonly #log: string;
  readonly #report: Report;
  /** Producer and place in its order, by message. */
  readonly #offers = new Map<string, { readonly producer: string; readonly place: number }>();
  /** The number that was acknowledged first, by message; null: never reported. */
  readonly #acknowledged = new Map<string, number | null>();
  readonly #byNumber = new Map<number, string>();
  readonly #byCursor = new Map<number, string>();
  /** Cursor and number of a message in the receiver's log. */
  readonly #places = new Map<string, { readonly cursor: number; readonly number: number | null }>();

  constructor(log: string, report: Report) {
    this.#log = log;
    this.#report = report;
  }

  /** Messages whose producer got an acknowledgement. */
  get acknowledged(): Iterable<string> {
    return this.#acknowledged.keys();
  }

  offered({ message, producer }: Of<'offered'>): void {
    // A second offer is the same message: its first one says where it is in the producer's order.
    if (!this.#offers.has(message)) this.#offers.set(message, { producer, place: this.#offers.size });
  }

  accepted({ message, outcome, number }: Of<'accepted'>): void {
    const before = this.#acknowledged.get(message);
    if (before !== undefined && outcome === 'stored') {
      this.#report(
        'early-ack',
        this.#log,
        message,
        `was acknowledged as number ${before}, and stored again as number ${number}: it had not been there, or is there twice`,
      );
      return;
    }
    if (number !== null) this.#take(message, number);
    if (before === undefined || before === null) this.#acknowledged.set(message, number);
  }

  received({ message, cursor, number }: Of<'received'>): void {
    if (!this.#offers.has(message))
      this.#report('stranger', this.#log, message, `was delivered at cursor ${cursor}, and no producer had offered it`);
    const there = this.#byCursor.get(cursor);
    if (there !== undefined && there !== message) {
      this.#report(
        'early-ack',
        this.#log,
        message,
        `is at cursor ${cursor}, where a consumer had already received ${there}`,
      );
      return;
    }
    this.#byCursor.set(cursor, message);
    const place = this.#places.get(message);
    if (place === undefined) this.#places.set(message, { cursor, number });
    else if (place.cursor !== cursor)
      this.#report('duplicate', this.#log, message, `is at cursor ${place.cursor} and at cursor ${cursor}`);
    if (number !== null) this.#take(message, number);
  }

  /** In the order of the cursors: numbers without gaps where they are known, and each producer's own order. */
  checkOrder(): void {
    const entries = Array.from(this.#places, ([message, { cursor, number }]) => ({
      message,
      cursor,
      reported: number,
      number: number ?? this.#acknowledged.get(message) ?? null,
    })).toSorted((a, b) => a.cursor - b.cursor);
    const lastOf = new Map<string, number>();
    let [highest, reported] = [0, 0];
    for (const entry of entries) {
      if (entry.number !== null) {
        if (entry.number <= highest)
          this.#report(
            'disorder',
            this.#log,
            entry.message,
            `has number ${entry.number} and is behind number ${highest}`,
          );
        highest = Math.max(highest, entry.number);
      }
      if (entry.reported !== null) {
        if (entry.reported > reported + 1)
          this.#report(
            'loss',
            this.#log,
            this.#byNumber.get(reported + 1) ?? entry.message,
            `numbers ${reported + 1} to ${entry.reported - 1} are missing before cursor ${entry.cursor}`,
          );
        reported = Math.max(reported, entry.reported);
      }
      const offer = this.#offers.get(entry.message);
      if (offer === undefined) continue;
      const last = lastOf.get(offer.producer) ?? -1;
      if (offer.place < last)
        this.#report(
          'disorder',
          this.#log,
          entry.message,
          `is at cursor ${entry.cursor}, behind what ${offer.producer} offered later`,
        );
      lastOf.set(offer.producer, Math.max(last, offer.place));
    }
  }

  #take(message: string, number: number): void {
    const there = this.#byNumber.get(number);
    if (there === undefined) this.#byNumber.set(number, message);
    else if (there !== message)
      this.#report('early-ack', this.#log, message, `has number ${number}, which had been acknowledged to ${there}`);
    const acknowledged = this.#acknowledged.get(message);
    if (acknowledged !== undefined && acknowledged !== null && acknowledged !== number)
      this.#report(
        'early-ack',
        this.#log,
        message,
        `was acknowledged as number ${acknowledged} and is number ${number} now`,
      );
  }
}

/**
 * One consumer: what it follows, and what its acknowledgements were worth. Its cursors are of one sequence over all its
 * logs.
 */
class ConsumerChecker {
  readonly #consumer: string;
  readonly #report: Report;
  readonly #follows = new Set<string>();
  readonly #received = new Set<string>();
  #settled = 0;
  /** The newest cursor since the last acknowledgement; what is not acknowledged may come again from the oldest on. */
  #newest = 0;

  constructor(consumer: string, report: Report) {
    this.#consumer = consumer;
    this.#report = report;
  }

  follows(log: string): void {
    this.#follows.add(log);
  }

  received({ log, message, cursor }: Of<'received'>): void {
    if (cursor <= this.#settled)
      this.#report(
        'early-ack',
        log,
        message,
        `came again at cursor ${cursor}, which ${this.#consumer} had settled (through ${this.#settled})`,
      );
    // A first delivery behind a later one: the consumer would have settled over it.
    else if (cursor < this.#newest && !this.#received.has(`${log} ${message}`))
      this.#report(
        'disorder',
        log,
        message,
        `came to ${this.#consumer} at cursor ${cursor}, behind cursor ${this.#newest}`,
      );
    this.#newest = Math.max(this.#newest, cursor);
    this.#received.add(`${log} ${message}`);
  }

  settled(through: number): void {
    this.#settled = Math.max(this.#settled, through);
  }

  checkLoss(logs: ReadonlyMap<string, LogChecker>): void {
    for (const log of this.#follows) {
      for (const message of logs.get(log)?.acknowledged ?? []) {
        if (!this.#received.has(`${log} ${message}`))
          this.#report('loss', log, message, `was acknowledged and never came to ${this.#consumer}`);
      }
    }
  }
}

function getOrMake<V>(map: Map<string, V>, key: string, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

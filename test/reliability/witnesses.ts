// Producers and consumers as real programs would be: they survive the end of what they talk to, try again with the same
// (source, id), and write down all that they did and saw (history.ts).
import { setTimeout as delay } from 'node:timers/promises';
import type { Deed, History } from './history.ts';
import { positionIn } from '../event-cursors.ts';

/** Where a program's requests go. The token is the one that the program keeps in its configuration. */
export interface Door {
  readonly url: string;
  readonly token: string;
}

export interface Reply {
  readonly status: number;
  // What comes back is of many shapes; each use below reads the members that it needs.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any;
}

/** Longer than any long poll below: what has not answered by then never will. */
const REQUEST_MS = 20_000;
/** Between tries while no one answers. */
const RETRY_MS = 25;

/** One request; undefined when no answer came. */
export async function request(door: Door, method: string, path: string, body?: unknown): Promise<Reply | undefined> {
  try {
    const answer = await fetch(`${door.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${door.token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      signal: AbortSignal.timeout(REQUEST_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, body: await answer.json() };
  } catch {
    // Refused, cut or timed out: for a program they are the same: the outcome of the request is unknown.
    return undefined;
  }
}

interface Offer {
  readonly id: string;
  readonly json: Readonly<Record<string, unknown>>;
}

export interface ProducerOptions {
  readonly history: History;
  /** "up branch-1" or "down branch-1". */
  readonly log: string;
  readonly name: string;
  readonly door: Door;
  /** Where it posts. */
  readonly path: string;
  /** The longest pause between two batches: the pace of the load. */
  readonly pauseMs: number;
  readonly random: () => number;
}

/**
 * So many of the last acknowledged messages are offered again after an unanswered request: each must be known as a
 * duplicate.
 */
const REMEMBERED = 8;
const LARGEST_BATCH = 8;

/** Offers messages in order, the next batch only when the one before was acknowledged. */
export class Producer {
  readonly #options: ProducerOptions;
  readonly #source: string;
  readonly #done: Promise<void>;
  #stopped = false;
  #next = 0;
  #recent: Offer[] = [];
  accepted = 0;
  /** Requests without an answer. */
  unanswered = 0;

  constructor(options: ProducerOptions) {
    this.#options = options;
    this.#source = `/programs/${options.name}`;
    this.#done = this.#run();
    // The caller of stop learns of it.
    this.#done.catch(() => undefined);
  }

  /** Ends when its last batch was acknowledged. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #run(): Promise<void> {
    const { random, pauseMs } = this.#options;
    while (!this.#stopped) {
      const batch = Array.from({ length: 1 + Math.floor(random() * LARGEST_BATCH) }, () => this.#make());
      await this.#deliver(batch);
      this.#recent = [...this.#recent, ...batch].slice(-REMEMBERED);
      // The pace of the load; nothing is waited for here.
      await delay(random() * pauseMs);
    }
  }

  /** Ids are the same for all producers: only (source, id) tells their messages apart. */
  #make(): Offer {
    const id = `m-${this.#next}`;
    this.#next += 1;
    return {
      id,
      json: {
        id,
        source: this.#source,
        type: 'reliability.load',
        data: 'x'.repeat(Math.floor(this.#options.random() ** 3 * 1500)),
      },
    };
  }

  async #deliver(batch: readonly Offer[]): Promise<void> {
    let again: readonly Offer[] = [];
    for (;;) {
      const offers = [...again, ...batch];
      for (const { id } of offers)
        this.#write({ deed: 'offered', message: this.#options.history.nameOf(this.#source, id) });
      const { door, path, name } = this.#options;
      const reply = await request(
        door,
        'POST',
        path,
        offers.map(({ json }) => json),
      );
      if (reply?.status === 202) {
        const answered = reply.body.items as { id: string; outcome: 'stored' | 'duplicate'; number: number | null }[];
        for (const { id, outcome, number } of answered)
          this.#write({ deed: 'accepted', message: this.#options.history.nameOf(this.#source, id), outcome, number });
        this.accepted += batch.length;
        return;
      }
      if (reply === undefined) {
        this.unanswered += 1;
        again = this.#recent;
      } else if (reply.status !== 503) throw new Error(`${name}: ${reply.status} ${JSON.stringify(reply.body)}`);
      await delay(RETRY_MS);
    }
  }

  #write(
    deed:
      | { deed: 'offered'; message: string }
      | { deed: 'accepted'; message: string; outcome: 'stored' | 'duplicate'; number: number | null },
  ): void {
    const { history, log, name } = this.#options;
    history.write({ ...deed, log, producer: name });
  }
}

export interface EventReaderOptions {
  readonly history: History;
  readonly name: string;
  readonly door: Door;
  /** The logs' names by the ids of the agents. */
  readonly logs: ReadonlyMap<string, string>;
  readonly waitSeconds: number;
}

/** Follows the events of all agents by cursor, as a program does that keeps the last `next`. */
export class EventReader {
  readonly #options: EventReaderOptions;
  readonly #done: Promise<void>;
  #stopped = false;
  /** The position through which it has read. */
  cursor = 0;
  received = 0;
  #after = 'oldest';

  constructor(options: EventReaderOptions) {
    this.#options = options;
    for (const log of options.logs.values()) options.history.write({ deed: 'follows', consumer: options.name, log });
    this.#done = this.#run();
    this.#done.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #run(): Promise<void> {
    const { history, name, door, logs, waitSeconds } = this.#options;
    while (!this.#stopped) {
      const reply = await request(
        door,
        'GET',
        `/api/v1/events?after=${this.#after}&limit=500&waitSeconds=${waitSeconds}`,
      );
      if (reply === undefined || reply.status === 503) {
        await delay(RETRY_MS);
        continue;
      }
      if (reply.status !== 200) throw new Error(`${name}: ${reply.status} ${JSON.stringify(reply.body)}`);
      for (const { cursor, agentId, number, event } of reply.body.items as {
        cursor: string;
        agentId: string;
        number: number;
        event: { source: string; id: string };
      }[]) {
        history.write({
          deed: 'received',
          consumer: name,
          log: logs.get(agentId) ?? agentId,
          message: history.nameOf(event.source, event.id),
          cursor: positionIn(cursor),
          number,
        });
        this.received += 1;
      }
      this.#after = reply.body.next as string;
      this.cursor = positionIn(this.#after);
      history.write({ deed: 'settled', consumer: name, through: this.cursor });
    }
  }
}

export interface CommandTakerOptions {
  readonly history: History;
  readonly name: string;
  readonly door: Door;
  readonly log: string;
  readonly random: () => number;
}

/** Takes commands and acknowledges them; now and then it forgets to, as a program does that dies in between. */
export class CommandTaker {
  readonly #options: CommandTakerOptions;
  readonly #done: Promise<void>;
  #stopped = false;
  received = 0;

  constructor(options: CommandTakerOptions) {
    this.#options = options;
    options.history.write({ deed: 'follows', consumer: options.name, log: options.log });
    this.#done = this.#run();
    this.#done.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #run(): Promise<void> {
    const { history, name, door, log, random } = this.#options;
    while (!this.#stopped) {
      const reply = await request(door, 'GET', '/api/v1/commands?limit=200&waitSeconds=1');
      if (reply === undefined) {
        await delay(RETRY_MS);
        continue;
      }
      if (reply.status !== 200) throw new Error(`${name}: ${reply.status} ${JSON.stringify(reply.body)}`);
      const commands = reply.body.items as { cursor: number; command: { source: string; id: string } }[];
      const last = commands.at(-1);
      if (last === undefined) continue;
      for (const { cursor, command } of commands)
        history.write({
          deed: 'received',
          consumer: name,
          log,
          message: history.nameOf(command.source, command.id),
          cursor,
          number: null,
        } satisfies Deed);
      this.received += commands.length;
      if (random() < 0.1) continue;
      const settled = await request(door, 'POST', '/api/v1/commands/ack', { through: last.cursor });
      if (settled?.status === 200) history.write({ deed: 'settled', consumer: name, through: last.cursor });
    }
  }
}

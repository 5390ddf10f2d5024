// Gathers the events of many agents into few statements (schema/append.ts): while one is on its way, those that arrive
// form the next one. Of each agent one call at a time is on its way, since a place in its log has one successor.
import { setTimeout as delay } from 'node:timers/promises';
import { databaseFault } from '../../../shared/sqlite/errors.ts';
import { linkOf } from '../../../shared/sqlite/logs/fingerprint.ts';
import type { Item } from '../../../shared/delivery/message.ts';
import { readMessageFrames, type MessageFrame } from '../../../shared/delivery/message-frames.ts';
import { storeFault } from '../errors.ts';
import { MAX_REMEMBERED } from '../memory/recent-events.ts';
import type { CommittedEvents } from '../message-store.ts';
import { KnownKeys, packKeys } from '../sql/events/run-keys.ts';
import { TextPacker } from '../sql/events/run-texts.ts';
import { keysOfMessages, runsOf, type RunMessage } from '../sql/events/run-writes.ts';

/** `looked-up`: these messages are not for this path (each is looked up, or some of them are not events). */
type Appended = CommittedEvents | 'looked-up';

/** Where the log of an agent is, as far as this process knows. */
interface Place {
  readonly agent: number;
  readonly epoch: number;
  readonly number: number;
  readonly link: string;
}

interface Call {
  readonly agentId: string;
  readonly epoch: number;
  readonly next: number;
  readonly messages: readonly RunMessage[];
  /** Of which the fingerprint of the log is made. */
  readonly identities: readonly { readonly source: string; readonly id: string }[];
  readonly bytes: number;
  readonly now: number;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: unknown) => void;
  /** The place was read for it. */
  hasRead: boolean;
}

interface AppendPort {
  /** Runs a statement until PostgreSQL has answered it, again where it could not be reached. */
  query(sql: string, values: readonly unknown[]): Promise<readonly Readonly<Record<string, unknown>>[]>;
}

/** 4 MiB of texts or so many calls in one statement. */
const MAX_CALLS = 1_000;
const MAX_BYTES = 4 * 1024 * 1024;
/** Until those whose places are locked are sent again, where that is all of them: a login takes some milliseconds. */
const BUSY_MS = 5;
/** Places that are kept: those of the agents that send now. */
const MAX_PLACES = 50_000;

const PLACES = `SELECT agent.id, agent.key, inbox_log.epoch, inbox_log.number, inbox_log.id AS link
  FROM agent JOIN inbox_log ON inbox_log.peer = agent.key WHERE agent.id = ANY($1)`;
const APPEND = `SELECT outcome, first_cursor, of_incarnation AS incarnation FROM append_events($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[],
  $5::text[], $6::text[], $7::bigint, $8::int[], $9::bigint[], $10::bigint[], $11::int[], $12::int[], $13::int[], $14::bigint[], $15::bytea)`;

export class Appends {
  readonly #port: AppendPort;
  readonly #keys = new KnownKeys();
  readonly #packer = new TextPacker();
  readonly #places = new Map<string, Place>();
  #queue: Call[] = [];
  #isRunning = false;

  constructor(port: AppendPort) {
    this.#port = port;
  }

  /** Errors: bad_frame, stale_epoch, log_violation. */
  append(
    agentId: string,
    epoch: number,
    next: number,
    frames: readonly MessageFrame[],
    now: number,
  ): Promise<Appended> {
    const items = readMessageFrames(next, frames);
    const messages = messagesOf(items);
    if (messages === undefined) return Promise.resolve('looked-up');
    return new Promise((resolve, reject) => {
      const bytes = messages.reduce((sum, { json }) => sum + json.length, 0);
      const call = {
        agentId,
        epoch,
        next,
        messages,
        identities: messages,
        bytes,
        now,
        resolve,
        reject,
        hasRead: false,
      };
      this.#queue.push(call);
      if (!this.#isRunning) {
        this.#isRunning = true;
        // What this turn of the event loop still brings belongs to the same statement.
        setImmediate(() => void this.#run());
      }
    });
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      const calls = this.#nextCalls();
      try {
        await this.#append(calls);
      } catch (error) {
        for (const call of calls) call.reject(error);
      }
    }
    this.#isRunning = false;
  }

  #nextCalls(): Call[] {
    const [calls, rest]: [Call[], Call[]] = [[], []];
    const agents = new Set<string>();
    let bytes = 0;
    for (const call of this.#queue) {
      const isFull = calls.length === MAX_CALLS || (calls.length > 0 && bytes + call.bytes > MAX_BYTES);
      // Behind one of the same agent that has to wait, too.
      if (isFull || agents.has(call.agentId)) rest.push(call);
      else {
        calls.push(call);
        bytes += call.bytes;
      }
      agents.add(call.agentId);
    }
    this.#queue = rest;
    return calls;
  }

  async #append(calls: readonly Call[]): Promise<void> {
    await this.#readPlaces(calls.filter((call) => !this.#isKnown(call)));
    const known: { readonly call: Call; readonly place: Place; readonly after: string }[] = [];
    for (const call of calls) {
      const place = this.#places.get(call.agentId);
      // What the place was read as is the truth: another session goes on with the log, or the sender is wrong.
      if (place === undefined || place.epoch !== call.epoch) this.#refuse(call, 'fenced');
      else {
        let after = place.link;
        for (const identity of call.identities) after = linkOf(after, identity);
        known.push({ call, place, after });
      }
    }
    if (known.length === 0) return;
    const rows = await this.#port.query(APPEND, this.#values(known));
    const again: Call[] = [];
    let busyCount = 0;
    for (const [index, { call, place, after }] of known.entries()) {
      const { outcome, first_cursor: firstCursor, incarnation } = rows[index] ?? {};
      if (outcome === 'taken' || outcome === 'had') {
        const through = call.next + call.messages.length - 1;
        this.#keep(call.agentId, { ...place, number: through, link: after });
        call.resolve(committed(call, through, String(incarnation), outcome === 'taken' ? Number(firstCursor) : null));
        continue;
      }
      if (outcome === 'busy') {
        busyCount += 1;
        again.push(call);
        continue;
      }
      this.#places.delete(call.agentId);
      if (outcome === 'slow') call.resolve('looked-up');
      else if (outcome === 'fenced' || call.hasRead) this.#refuse(call, String(outcome));
      else again.push(call);
    }
    // In front of what came later for the same agents.
    this.#queue = [...again, ...this.#queue];
    if (busyCount === known.length) await delay(BUSY_MS);
  }

  #isKnown({ agentId, epoch, next }: Call): boolean {
    const place = this.#places.get(agentId);
    return place?.epoch === epoch && place.number === next - 1;
  }

  async #readPlaces(calls: readonly Call[]): Promise<void> {
    if (calls.length === 0) return;
    for (const call of calls) {
      this.#places.delete(call.agentId);
      call.hasRead = true;
    }
    const rows = await this.#port.query(PLACES, [calls.map(({ agentId }) => agentId)]);
    for (const { id, key, epoch, number, link } of rows)
      this.#keep(String(id), {
        agent: Number(key),
        epoch: Number(epoch),
        number: Number(number),
        link: typeof link === 'string' ? link : '',
      });
  }

  #keep(agentId: string, place: Place): void {
    if (this.#places.size >= MAX_PLACES) this.#places.clear();
    this.#places.set(agentId, place);
  }

  #refuse({ agentId, next, reject }: Call, outcome: string): void {
    reject(
      outcome === 'fenced'
        ? storeFault('stale_epoch', { id: agentId })
        : databaseFault('log_violation', { found: `messages from ${next}, where the log is at another place` }),
    );
  }

  #values(known: readonly { readonly call: Call; readonly place: Place; readonly after: string }[]): unknown[] {
    const runs = { agents: [] as number[], firsts: [] as number[], counts: [] as number[] };
    const lengths = { keys: [] as number[], lengths: [] as number[], bodies: [] as number[] };
    const keys: number[] = [];
    const packed: Uint8Array[] = [];
    for (const [index, { call }] of known.entries()) {
      let first = call.next;
      for (const run of runsOf(call.messages)) {
        const ofRun = keysOfMessages(this.#keys, call.agentId, run);
        const bytes = [packKeys(ofRun), ...this.#packed(run)] as const;
        runs.agents.push(index + 1);
        runs.firsts.push(first);
        runs.counts.push(run.length);
        lengths.keys.push(bytes[0].length);
        lengths.lengths.push(bytes[1].length);
        lengths.bodies.push(bytes[2].length);
        keys.push(...ofRun);
        packed.push(...bytes);
        first += run.length;
      }
    }
    return [
      known.map(({ place }) => place.agent),
      known.map(({ call }) => call.epoch),
      known.map(({ call }) => call.next),
      known.map(({ call }) => call.messages.length),
      known.map(({ place }) => place.link),
      known.map(({ after }) => after),
      known[0]?.call.now ?? 0,
      runs.agents,
      runs.firsts,
      runs.counts,
      lengths.keys,
      lengths.lengths,
      lengths.bodies,
      keys,
      Buffer.concat(packed),
    ];
  }

  /** Copies: the packer uses its memory again. */
  #packed(run: readonly RunMessage[]): [Uint8Array, Uint8Array] {
    const { lengths, body } = this.#packer.pack(run.map(({ json }) => json));
    return [Uint8Array.from(lengths), Buffer.from(body)];
  }
}

/** Undefined: not all of them are messages. */
function messagesOf(items: readonly Item[]): (RunMessage & { readonly id: string })[] | undefined {
  const messages: (RunMessage & { readonly id: string })[] = [];
  for (const item of items) {
    if (item.kind !== 'message') return undefined;
    messages.push(item.message);
  }
  return messages;
}

function committed(
  { next, messages }: Call,
  through: number,
  incarnation: string,
  firstCursor: number | null,
): CommittedEvents {
  const stored = firstCursor === null ? 0 : messages.length;
  const events =
    stored === 0 || stored > MAX_REMEMBERED
      ? null
      : messages.map(({ type, source, json }, index) => ({ number: next + index, type, source, json }));
  return { through, incarnation, firstCursor, stored, events };
}

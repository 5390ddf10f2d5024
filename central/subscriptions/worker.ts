// Delivers the events of one subscription, in their order: one batch at a time, again until the receiver has it, and only
// then the next. It reads pages of the store as any reader does, so that nothing waits for a receiver.
import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { CodedError } from '../../shared/errors.ts';
import { withAgent } from '../../shared/delivery/message.ts';
import { readEventPage, type WantedEvents } from '../messaging/event-pages.ts';
import type { EventHub } from '../messaging/event-hub.ts';
import type { InboxStore } from '../store/message-store.ts';
import type { SubscriptionProgress, SubscriptionRecord } from '../store/subscriptions/subscription-store.ts';
import type { Outcome } from './sender.ts';
import { signedHeaders, webhookId } from './signature.ts';

const MAX_EVENTS = 100;
const MAX_BATCH_BYTES = 1024 * 1024;
const FIRST_RETRY_MS = 5_000;
const MAX_RETRY_MS = 300_000;
/** Commits wake every worker: a hundred of them read together at most a few thousand times a second. */
const PACE_MS = 50;
/** How much is read again after a crash of Central where no event fits the filter. */
const RECORD_POSITION_MS = 10_000;

export interface WorkerNeeds {
  readonly inbox: Pick<InboxStore, 'lastCursor' | 'prunedThrough' | 'read'>;
  readonly hub: Pick<EventHub, 'wait'>;
  readonly wanted: WantedEvents;
  readonly secrets: () => readonly string[];
  send(
    batch: { readonly body: string; readonly headers: Readonly<Record<string, string>> },
    signal: AbortSignal,
  ): Promise<Outcome>;
  record(progress: SubscriptionProgress): Promise<void>;
  /** The receiver wants no more events. */
  pause(failure: CodedError): void;
  readonly now: () => number;
  /** Resolves after the time, or when `signal` is aborted. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

interface Batch {
  readonly body: string;
  readonly id: string;
  readonly eventCount: number;
  readonly firstCursor: number;
  readonly lastCursor: number;
  /** Everything through it is in this batch, or does not fit. */
  readonly through: number;
}

/** What is seen from outside. */
export interface WorkerState {
  /** Everything through it is delivered, or does not fit. */
  readonly cursor: number;
  /** The last failure since the last delivery, and since when there is one. */
  readonly failing: { readonly failure: CodedError; readonly since: number; readonly at: number } | null;
  readonly deliveredAt: number | null;
}

export class SubscriptionWorker {
  readonly #needs: WorkerNeeds;
  readonly #subscription: SubscriptionRecord;
  readonly #ended = new AbortController();
  #state: WorkerState;
  #recordedAt = 0;
  #done: Promise<void> | undefined;

  constructor(subscription: SubscriptionRecord, needs: WorkerNeeds) {
    this.#subscription = subscription;
    this.#needs = needs;
    this.#state = { cursor: subscription.cursor, failing: null, deliveredAt: null };
  }

  get state(): WorkerState {
    return this.#state;
  }

  start(): void {
    this.#done ??= this.#run();
  }

  /** Resolves when nothing is under way any more; a request to the receiver is cut. */
  async stop(): Promise<void> {
    this.#ended.abort();
    await this.#done;
    if (this.#recordedAt > 0) await this.#needs.record({ cursor: this.#state.cursor }).catch(() => undefined);
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      try {
        await this.#skipPruned();
        const batch = await this.#next(signal);
        if (batch === undefined) {
          await this.#needs.hub.wait(this.#state.cursor, signal);
          await defaultSleep(PACE_MS, signal);
        } else if (!(await this.#deliver(batch, signal))) return;
      } catch {
        // The store takes nothing now, or stops. What was delivered is delivered again: at least once.
        await this.#sleep(FIRST_RETRY_MS, signal);
      }
    }
  }

  /** Events that were deleted before they were delivered are counted. */
  async #skipPruned(): Promise<void> {
    const { cursor } = this.#state;
    const through = await this.#needs.inbox.prunedThrough(cursor);
    if (through === null || through <= cursor) return;
    const lost = { count: through - cursor, at: this.#needs.now() };
    await this.#needs.record({ cursor: through, lost });
    this.#state = { ...this.#state, cursor: through };
  }

  async #next(signal: AbortSignal): Promise<Batch | undefined> {
    const { inbox, wanted, now } = this.#needs;
    const { events, next } = await readEventPage(inbox, this.#state.cursor, wanted, MAX_EVENTS, signal);
    if (events.length === 0) {
      this.#state = { ...this.#state, cursor: Math.max(this.#state.cursor, next) };
      if (now() - this.#recordedAt >= RECORD_POSITION_MS && next > this.#subscription.cursor) {
        this.#recordedAt = now();
        await this.#needs.record({ cursor: this.#state.cursor });
      }
      return undefined;
    }
    const texts: string[] = [];
    let bytes = 2;
    for (const { json, agentId } of events) {
      const text = withAgent(json, agentId);
      bytes += Buffer.byteLength(text) + 1;
      if (texts.length > 0 && bytes > MAX_BATCH_BYTES) break;
      texts.push(text);
    }
    const body = `[${texts.join(',')}]`;
    const [first, last] = [events[0], events[texts.length - 1]];
    return {
      body,
      id: webhookId(this.#subscription, body),
      eventCount: texts.length,
      firstCursor: first?.cursor ?? next,
      lastCursor: last?.cursor ?? next,
      through: texts.length === events.length ? next : (last?.cursor ?? next),
    };
  }

  /** True when it is delivered; false when there is nothing more to do. */
  async #deliver(batch: Batch, signal: AbortSignal): Promise<boolean> {
    for (let attempt = 1; ; attempt += 1) {
      const startedAt = this.#needs.now();
      const headers = signedHeaders(this.#needs.secrets(), { id: batch.id, at: startedAt, body: batch.body });
      const outcome = await this.#needs.send({ body: batch.body, headers }, signal);
      if (signal.aborted) return false;
      const { failure } = outcome;
      const cursor = failure === undefined ? batch.through : undefined;
      await this.#needs.record({ attempt: attemptOf(batch, attempt, startedAt, this.#needs.now(), outcome), cursor });
      if (failure === undefined) {
        this.#recordedAt = this.#needs.now();
        this.#state = { cursor: batch.through, failing: null, deliveredAt: this.#recordedAt };
        return true;
      }
      const at = this.#needs.now();
      this.#state = { ...this.#state, failing: { failure, since: this.#state.failing?.since ?? at, at } };
      if (failure.code === 'webhook_gone') {
        this.#needs.pause(failure);
        return false;
      }
      await this.#sleep(Math.max(backoff(attempt), outcome.retryAfterMs), signal);
      if (signal.aborted) return false;
    }
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    const { sleep = defaultSleep } = this.#needs;
    await sleep(ms, signal);
  }
}

async function defaultSleep(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
}

/** 5 s, doubled with each attempt up to 5 minutes, less up to a half: receivers that return are not met by all at once. */
function backoff(attempt: number): number {
  const most = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempt - 1, 10));
  return most - randomInt(Math.floor(most / 2));
}

function attemptOf(
  { id, eventCount, firstCursor, lastCursor }: Batch,
  attempt: number,
  at: number,
  endedAt: number,
  { status, failure }: Outcome,
): NonNullable<SubscriptionProgress['attempt']> {
  return {
    at,
    webhookId: id,
    attempt,
    eventCount,
    firstCursor,
    lastCursor,
    durationMs: Math.max(0, endedAt - at),
    status,
    failure: failure === undefined ? null : { code: failure.code, detail: failure.message, hint: failure.hint },
  };
}

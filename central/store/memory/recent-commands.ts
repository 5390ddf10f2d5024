// Keeps the newest commands of each agent that has a session, and the number of its last one: a session that is up to
// date needs no read of the store, neither for a new command nor to find that there is none.
import { copyOfText, type Message } from '../../../shared/delivery/message.ts';
import type { Appended, OutboxEntry } from '../../../shared/delivery/log-interfaces.ts';
import type { ClaimedSession } from '../agent-store.ts';

export const MAX_COMMANDS = 16;
/** In bytes, of one agent and of all. */
export const MAX_BYTES_OF_AGENT = 256 * 1024;
export const MAX_BYTES = 8 * 1024 * 1024;

/** All commands behind `start` through `newest` are in `entries`. */
interface Tail {
  readonly start: number;
  readonly newest: number;
  readonly entries: readonly OutboxEntry[];
  readonly bytes: number;
}

interface Log {
  readonly epoch: number;
  /** Undefined: unknown, until a read of the store shows the end of the log. */
  tail: Tail | undefined;
  /** Appends so far: a read of the store that one has overtaken shows no end. */
  appends: number;
}

type ClaimedLog = Pick<ClaimedSession, 'epoch' | 'newest' | 'down'>;

const NONE: readonly OutboxEntry[] = [];

export class RecentCommands {
  readonly #logs = new Map<string, Log>();
  /** Of agents with a claim under way: how many, and the appends that were answered meanwhile. */
  readonly #claims = new Map<string, { running: number; appends: number }>();
  /** Those that hold entries, the longest unchanged first. */
  readonly #holding = new Set<Log>();
  #bytes = 0;

  /**
   * Runs the claim of a session. It may number the log again: what was known is forgotten. Where no command waits, the
   * store need not be read to find that; an append that was answered meanwhile may be behind the claim.
   */
  async claim<T>(agentId: string, run: () => Promise<T>, claimedBy: (answer: T) => ClaimedLog | undefined): Promise<T> {
    const claim = this.#claims.get(agentId) ?? { running: 0, appends: 0 };
    this.#claims.set(agentId, claim);
    claim.running += 1;
    try {
      const answer = await run();
      const claimed = claimedBy(answer);
      if (claimed !== undefined) this.#open(agentId, claimed, claim.appends === 0);
      return answer;
    } finally {
      claim.running -= 1;
      if (claim.running === 0) this.#claims.delete(agentId);
    }
  }

  #open(agentId: string, { epoch, newest, down }: ClaimedLog, isNewest: boolean): void {
    this.forget(agentId);
    const tail = isNewest && newest < down.next ? { start: newest, newest, entries: NONE, bytes: 0 } : undefined;
    // Not the same object: a read that began before the claim says nothing of the log as it is now.
    this.#logs.set(agentId, { epoch, tail, appends: 0 });
  }

  /** The session with this epoch has ended. */
  close(agentId: string, epoch: number): void {
    if (this.#logs.get(agentId)?.epoch === epoch) this.forget(agentId);
  }

  forget(agentId: string): void {
    const log = this.#logs.get(agentId);
    if (log !== undefined) this.#set(log, undefined);
    this.#logs.delete(agentId);
  }

  /** What OutboxStore.read answers; undefined: the store has to be read. */
  read(agentId: string, after: number, maxItems: number, maxBytes: number): OutboxEntry[] | undefined {
    const tail = this.#logs.get(agentId)?.tail;
    if (tail === undefined || after < tail.start) return undefined;
    const found: OutboxEntry[] = [];
    let bytes = 0;
    for (const entry of tail.entries) {
      if (entry.number <= after) continue;
      bytes += entry.bytes + 1;
      if (found.length === maxItems || (found.length > 0 && bytes > maxBytes)) break;
      found.push(entry);
    }
    return found;
  }

  /** The store is about to be read behind `after`; to be called with its answer. */
  reading(agentId: string, after: number): (entries: readonly OutboxEntry[]) => void {
    const log = this.#logs.get(agentId);
    if (log === undefined) return () => undefined;
    const { appends } = log;
    return (entries) => {
      if (entries.length > 0 || log.appends !== appends || this.#logs.get(agentId) !== log) return;
      this.#set(log, { start: after, newest: after, entries: NONE, bytes: 0 });
    };
  }

  /** These are on disk. To be called in the order of the commits. */
  appended(agentId: string, messages: readonly Message[], appended: readonly Appended[]): void {
    const [log, claim] = [this.#logs.get(agentId), this.#claims.get(agentId)];
    if (claim !== undefined) claim.appends += 1;
    if (log === undefined) return;
    log.appends += 1;
    const { tail } = log;
    if (tail === undefined) return;
    let { newest } = tail;
    const entries = [...tail.entries];
    for (const [index, message] of messages.entries()) {
      const { outcome, number } = appended[index] ?? {};
      if (outcome !== 'stored') continue;
      if (number !== newest + 1) return this.#set(log, undefined);
      newest += 1;
      // Only the last ones stay below.
      if (index < messages.length - MAX_COMMANDS) entries.length = 0;
      else entries.push(entryOf(newest, message));
    }
    let bytes = 0;
    for (const entry of entries) bytes += entry.bytes;
    while (entries.length > MAX_COMMANDS || bytes > MAX_BYTES_OF_AGENT) bytes -= entries.shift()?.bytes ?? 0;
    this.#set(log, { start: newest - entries.length, newest, entries, bytes });
    this.#bound();
  }

  /** The agent has everything through this number. */
  acknowledged(agentId: string, through: number): void {
    const log = this.#logs.get(agentId);
    if (log?.tail === undefined || through <= log.tail.start) return;
    const entries = log.tail.entries.filter(({ number }) => number > through);
    let bytes = 0;
    for (const entry of entries) bytes += entry.bytes;
    const { newest } = log.tail;
    this.#set(log, { start: through, newest, entries: entries.length === 0 ? NONE : entries, bytes });
  }

  /** What has expired by then may be something else on disk now. */
  expire(now: number): void {
    for (const log of this.#holding)
      if (log.tail?.entries.some(({ expiresAt }) => expiresAt !== null && expiresAt <= now) === true)
        this.#set(log, undefined);
  }

  #set(log: Log, tail: Tail | undefined): void {
    this.#bytes += (tail?.bytes ?? 0) - (log.tail?.bytes ?? 0);
    log.tail = tail;
    this.#holding.delete(log);
    if (tail !== undefined && tail.entries.length > 0) this.#holding.add(log);
  }

  #bound(): void {
    for (const log of this.#holding) {
      if (this.#bytes <= MAX_BYTES) return;
      this.#set(log, undefined);
    }
  }
}

function entryOf(number: number, { id, json, expiresAt }: Message): OutboxEntry {
  return { number, id: copyOfText(id), json: copyOfText(json), bytes: Buffer.byteLength(json), expiresAt };
}

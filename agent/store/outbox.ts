// Stores the events for Central: on disk before the producer is answered, kept until Central has them on its disk.
// Implements OutboxPort (shared/delivery/log-interfaces.ts).
import type { Message } from '../../shared/delivery/message.ts';
import type {
  Appended,
  LogDepth,
  OutboxBounds,
  OutboxEntry,
  ResumedLog,
} from '../../shared/delivery/log-interfaces.ts';
import type { CallCost } from '../../shared/sqlite/group-commit.ts';
import type { OutboxLog } from '../../shared/sqlite/logs/outbox-log.ts';
import type { Position } from '../../shared/wire/messages.ts';
import { CENTRAL } from './migrations.ts';
import type { DeadLetterLog, IncidentLog } from './records.ts';

/** How the logs reach the disk: writes grouped into commits, reads at once. Both end the store when the disk fails. */
export interface Disk {
  write<T>(work: () => T, cost?: CallCost): Promise<T>;
  read<T>(work: () => T): Promise<T>;
}

interface OutboxOptions {
  readonly disk: Disk;
  readonly log: OutboxLog;
  readonly incidents: IncidentLog;
  readonly deadLetters: DeadLetterLog;
  readonly bounds: OutboxBounds;
  readonly now: () => number;
}

/** So many messages are given up in one commit. */
const EXPIRE_STEP = 200;

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #listeners = new Set<() => void>();

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** All or nothing, in order; resolves when it is on disk. Errors: outbox_full. */
  async append(messages: readonly Message[]): Promise<Appended[]> {
    const { disk, log, bounds, now } = this.#options;
    let bytes = 0;
    for (const message of messages) bytes += message.json.length;
    const appended = await disk.write(() => log.append(CENTRAL, messages, bounds, now()), { bytes });
    if (appended.some(({ outcome }) => outcome === 'stored')) for (const listener of this.#listeners) listener();
    return appended;
  }

  /** Calls `listener` after each commit that brought something; a hint, no promise. Returns what ends it. */
  onAppended(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  read(after: number, maxItems: number, maxBytes: number): Promise<OutboxEntry[]> {
    const { disk, log } = this.#options;
    return disk.read(() => log.read(CENTRAL, after, maxItems, maxBytes));
  }

  resume(peer: Position | null): Promise<ResumedLog> {
    const { disk, log, incidents, now } = this.#options;
    return disk.write(() => {
      const { incarnation, next, missing, restarted } = log.resume(CENTRAL, peer);
      if (restarted && missing !== null) incidents.recordRestart('up', incarnation, missing, now());
      return { incarnation, next, missing };
    });
  }

  /** May wait for the next commit: `resume` repairs a trim that was lost. */
  acknowledge(through: number): Promise<void> {
    const { disk, log } = this.#options;
    return disk.write(() => log.acknowledge(CENTRAL, through), { lazy: true });
  }

  async expire(): Promise<number> {
    const { disk, log, deadLetters, now } = this.#options;
    let expired = 0;
    let step: number;
    do {
      step = await disk.write(() => {
        const at = now();
        const expiring = log.expire(at, EXPIRE_STEP);
        for (const { number, id, reason, json } of expiring)
          deadLetters.record({ at, direction: 'up', number, id, reason, json });
        return expiring.length;
      });
      expired += step;
    } while (step === EXPIRE_STEP);
    return expired;
  }

  /** True when no event would be accepted. */
  async isFull(): Promise<boolean> {
    const { maxMessages, maxBytes } = this.#options.bounds;
    const { messages, bytes } = await this.depth();
    return messages >= maxMessages || bytes >= maxBytes;
  }

  depth(): Promise<LogDepth> {
    const { disk, log } = this.#options;
    return disk.read(() => log.depth(CENTRAL));
  }
}

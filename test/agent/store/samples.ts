// What the tests of the agent's store put into it. Runs outside of the test runner, too.
import { openAgentStore, type AgentStore, type AgentStoreOptions } from '../../../agent/store/store.ts';
import type { Item, Message } from '../../../shared/delivery/message.ts';

export const DAY = 86_400_000;

/** A clock that moves only when it is set. */
export class Clock {
  time = 1_790_000_000_000;
  readonly now = (): number => this.time;
}

export function openAt(folder: string, options: Partial<AgentStoreOptions> = {}): AgentStore {
  return openAgentStore({
    folder,
    outbox: { maxMessages: 1_000, maxBytes: 1_000_000 },
    inbox: { maxMessages: 1_000, maxBytes: 1_000_000 },
    deduplicationMs: 7 * DAY,
    now: () => 1_790_000_000_000,
    // One boot, and a clock that is not set.
    sinceBootMs: options.now,
    bootId: () => 'boot',
    onFailure: (error) => {
      throw error;
    },
    ...options,
  });
}

export function message(id: string, changes: Partial<Message> = {}): Message {
  const { source = '/test', type = 'test', expiresAt = null } = changes;
  const expirytime = expiresAt === null ? undefined : new Date(expiresAt).toISOString();
  return {
    id,
    source,
    type,
    json: JSON.stringify({ specversion: '1.0', id, source, type, expirytime, data: 'grüezi' }),
    expiresAt: null,
    dataHash: 1,
    ...changes,
  };
}

export function items(...ids: string[]): Item[] {
  return ids.map((id) => ({ kind: 'message', message: message(id) }));
}

export function idsOf(entries: readonly { readonly json: string }[]): string[] {
  return entries.map((entry) => (JSON.parse(entry.json) as { id: string }).id);
}

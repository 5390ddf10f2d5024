// Packs commands into one flat list to pass them between the threads. The structured clone of objects costs both
// threads five times as much.
import type { Message } from '../../../shared/delivery/message.ts';
import type { Appended, OutboxEntry } from '../../../shared/delivery/log-interfaces.ts';

/** Per command on its way to the writing thread: id, source, type, json, expiresAt, dataHash. */
export type PackedMessages = readonly (string | number | null)[];

const MESSAGE_MEMBERS = 6;

export function packMessages(messages: readonly Message[]): PackedMessages {
  const packed: (string | number | null)[] = [];
  for (const { id, source, type, json, expiresAt, dataHash } of messages)
    packed.push(id, source, type, json, expiresAt, dataHash);
  return packed;
}

export function unpackMessages(packed: PackedMessages): Message[] {
  const messages: Message[] = [];
  for (let at = 0; at < packed.length; at += MESSAGE_MEMBERS) {
    // Written by `packMessages`, in this process and this version.
    messages.push({
      id: packed[at] as string,
      source: packed[at + 1] as string,
      type: packed[at + 2] as string,
      json: packed[at + 3] as string,
      expiresAt: packed[at + 4] as number | null,
      dataHash: packed[at + 5] as number,
    });
  }
  return messages;
}

/** Per command: outcome, number. */
export type PackedAppended = readonly (string | number | null)[];

export function packAppended(appended: readonly Appended[]): PackedAppended {
  const packed: (string | number | null)[] = [];
  for (const { outcome, number } of appended) packed.push(outcome, number);
  return packed;
}

export function unpackAppended(packed: PackedAppended): Appended[] {
  const appended: Appended[] = [];
  // Written by `packAppended`.
  for (let at = 0; at < packed.length; at += 2)
    appended.push({ outcome: packed[at], number: packed[at + 1] } as Appended);
  return appended;
}

/** Per command that was read: number, id, json, bytes, expiresAt. */
export type PackedEntries = readonly (string | number | null)[];

const ENTRY_MEMBERS = 5;

export function packEntries(entries: readonly OutboxEntry[]): PackedEntries {
  const packed: (string | number | null)[] = [];
  for (const { number, id, json, bytes, expiresAt } of entries) packed.push(number, id, json, bytes, expiresAt);
  return packed;
}

export function unpackEntries(packed: PackedEntries): OutboxEntry[] {
  const entries: OutboxEntry[] = [];
  for (let at = 0; at < packed.length; at += ENTRY_MEMBERS) {
    // Written by `packEntries`.
    const [number, bytes] = [packed[at] as number, packed[at + 3] as number];
    entries.push({
      number,
      id: packed[at + 1] as string,
      json: packed[at + 2] as string,
      bytes,
      expiresAt: packed[at + 4] as number | null,
    });
  }
  return entries;
}

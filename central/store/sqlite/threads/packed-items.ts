// Packs messages into one flat list to pass them between the threads. The structured clone of objects costs both
// threads five times as much, and most of Central's traffic passes through here.
import type { Item, Message } from '../../../../shared/delivery/message.ts';
import type { Appended, OutboxEntry } from '../../../../shared/delivery/log-interfaces.ts';

/** Per item: kind, id, source, type or reason, json, expiresAt, dataHash. */
export type PackedItems = readonly (string | number | null)[];

const MEMBERS = 7;

export function packItems(items: readonly Item[]): PackedItems {
  const packed: (string | number | null)[] = [];
  for (const item of items) {
    if (item.kind === 'message') {
      const { id, source, type, json, expiresAt, dataHash } = item.message;
      packed.push(item.kind, id, source, type, json, expiresAt, dataHash);
    } else
      packed.push(
        item.kind,
        item.id,
        item.source,
        item.reason,
        item.kind === 'rejected' ? item.json : null,
        null,
        null,
      );
  }
  return packed;
}

/**
 * An estimate of what these items take on the disk. `itemCost` is for the rows and indexes of each, `runCost` for those
 * of the messages that follow each other, `keyCost` for each other type and source among them.
 */
export function packedCost(packed: PackedItems, { itemCost, runCost = 0, keyCost = 0 }: ItemCosts): number {
  let bytes = packedItems(packed) * itemCost;
  let inRun = false;
  let [source, type]: PackedItems = [];
  for (let at = 0; at < packed.length; at += MEMBERS) {
    // Written by `packItems`: id, source, type or reason, json.
    for (let text = 1; text <= 4; text += 1) bytes += (packed[at + text] as string | null)?.length ?? 0;
    if (packed[at] === 'message') {
      if (!inRun) bytes += runCost;
      if (packed[at + 2] !== source) bytes += keyCost;
      if (packed[at + 3] !== type) bytes += keyCost;
    }
    inRun = packed[at] === 'message';
    [source, type] = [packed[at + 2], packed[at + 3]];
  }
  return bytes;
}

interface ItemCosts {
  readonly itemCost: number;
  readonly runCost?: number;
  readonly keyCost?: number;
}

export function packedItems(packed: PackedItems): number {
  return packed.length / MEMBERS;
}

export function unpackItems(packed: PackedItems): Item[] {
  const items: Item[] = [];
  for (let at = 0; at < packed.length; at += MEMBERS) {
    // Written by `packItems`, in this process and this version.
    const kind = packed[at] as Item['kind'];
    const id = packed[at + 1] as string;
    const source = packed[at + 2] as string;
    const typeOrReason = packed[at + 3] as string;
    const json = packed[at + 4] as string;
    if (kind === 'message') {
      const [expiresAt, dataHash] = [packed[at + 5] as number | null, packed[at + 6] as number];
      items.push({ kind, message: { id, source, type: typeOrReason, json, expiresAt, dataHash } });
    } else if (kind === 'tombstone') items.push({ kind, id, source, reason: typeOrReason });
    else items.push({ kind, id, source, reason: typeOrReason, json });
  }
  return items;
}

/** Commands on their way to the writing thread. */
export function packMessages(messages: readonly Message[]): PackedItems {
  const packed: (string | number | null)[] = [];
  for (const { id, source, type, json, expiresAt, dataHash } of messages)
    packed.push('message', id, source, type, json, expiresAt, dataHash);
  return packed;
}

export function unpackMessages(packed: PackedItems): Message[] {
  const messages: Message[] = [];
  for (const item of unpackItems(packed)) if (item.kind === 'message') messages.push(item.message);
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

// Owns how received items cross to the writing thread: as one flat list. The structured clone of objects costs both threads
// five times as much, and this is what most of Central's traffic passes through.
import type { Item } from '../../../shared/delivery/message.ts';

/** Per item: kind, id, source, type or reason, json, expiresAt, dataHash. */
export type PackedItems = readonly (string | number | null)[];

const MEMBERS = 7;

export function packItems(items: readonly Item[]): PackedItems {
  const packed: (string | number | null)[] = [];
  for (const item of items) {
    if (item.kind === 'message') {
      const { id, source, type, json, expiresAt, dataHash } = item.message;
      packed.push(item.kind, id, source, type, json, expiresAt, dataHash);
    } else packed.push(item.kind, item.id, item.source, item.reason, item.kind === 'rejected' ? item.json : null, null, null);
  }
  return packed;
}

/** Rows and indexes of an event beside its texts; what was seen of a peer lies at random in many pages, which are written whole. */
const ITEM_COST = 1024;

/** An estimate of what these items take on the disk. */
export function packedCost(packed: PackedItems): number {
  let bytes = packedItems(packed) * ITEM_COST;
  for (const member of packed) if (typeof member === 'string') bytes += member.length;
  return bytes;
}

export function packedItems(packed: PackedItems): number {
  return packed.length / MEMBERS;
}

export function unpackItems(packed: PackedItems): Item[] {
  const items: Item[] = [];
  for (let at = 0; at < packed.length; at += MEMBERS) {
    // Written by `packItems`, in this process and this version.
    const [kind, id, source, typeOrReason, json, expiresAt, dataHash] = packed.slice(at, at + MEMBERS) as [Item['kind'], string, string, string, string, number | null, number];
    if (kind === 'message') items.push({ kind, message: { id, source, type: typeOrReason, json, expiresAt, dataHash } });
    else if (kind === 'tombstone') items.push({ kind, id, source, reason: typeOrReason });
    else items.push({ kind, id, source, reason: typeOrReason, json });
  }
  return items;
}

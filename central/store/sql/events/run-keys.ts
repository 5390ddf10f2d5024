// The keys by which a filter finds runs of events: a number for an agent, a type or a source, made of its text.
import { hash } from 'node:crypto';

type KeyKind = 'agent' | 'type' | 'source';

/** Stands for every type and source: of a run that has too many of them. */
export const ANY_KEY = 0;
/**
 * Types and sources of one run that have a key of their own. Each key costs some 40 bytes and a page of the index in
 * the commit: an agent must not make a frame of short messages expensive.
 */
const MAX_KEYS = 64;
/** Texts whose keys are kept: those of a busy installation, and at most some megabytes. */
const MAX_KNOWN = 2_000;
const KEY_BYTES = 8;

/**
 * 52 bits of SHA-256, never 0: within the numbers that the check of a backup allows (store-check.ts). Two texts may
 * have the same key; what is found by it is compared with the text.
 */
export function keyOf(kind: KeyKind, text: string): number {
  const bytes = hash('sha256', `${kind}:${text}`, 'buffer');
  return bytes.readUIntBE(0, 6) * 16 + ((bytes[6] ?? 0) >> 4) || 1;
}

/** Remembers the keys of the texts that come again and again. */
export class KnownKeys {
  readonly #known: Readonly<Record<KeyKind, Map<string, number>>> = {
    agent: new Map(),
    type: new Map(),
    source: new Map(),
  };

  of(kind: KeyKind, text: string): number {
    const known = this.#known[kind];
    let key = known.get(text);
    if (key !== undefined) return key;
    if (known.size === MAX_KNOWN) known.clear();
    key = keyOf(kind, text);
    known.set(text, key);
    return key;
  }
}

/** The keys of one run: its agent's, then those of its types and sources. */
export function keysOfRun(
  known: KnownKeys,
  agentId: string,
  types: ReadonlySet<string>,
  sources: ReadonlySet<string>,
): number[] {
  const keys = [known.of('agent', agentId)];
  if (types.size + sources.size > MAX_KEYS) return [...keys, ANY_KEY];
  for (const type of types) keys.push(known.of('type', type));
  for (const source of sources) keys.push(known.of('source', source));
  return keys;
}

export function packKeys(keys: readonly number[]): Uint8Array {
  const packed = Buffer.allocUnsafe(keys.length * KEY_BYTES);
  for (const [index, key] of keys.entries()) packed.writeDoubleLE(key, index * KEY_BYTES);
  return packed;
}

export function unpackKeys(packed: Uint8Array): number[] {
  const bytes = bufferOf(packed);
  return Array.from({ length: Math.floor(bytes.length / KEY_BYTES) }, (_, index) =>
    bytes.readDoubleLE(index * KEY_BYTES),
  );
}

/** The same bytes. */
export function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

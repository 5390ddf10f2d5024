// Keeps private keys encrypted in the store: an entry that ends in `.key` is encrypted when it is written and decrypted
// when it is read. Older keys are encrypted at the start, and again when the key-encryption key changes. Nothing is
// overwritten unless every key of the store has been decrypted first.
import { rm } from 'node:fs/promises';
import { auditEntry, CENTRAL } from '../../audit.ts';
import type { StoreKeys } from '../../store/backup/backup.ts';
import type { KeyMaterialChange, KeyMaterialRow, KeyMaterialStore } from '../../store/key-material-store.ts';
import { decrypt, encrypt, encryptionKeyId, isEncrypted, keyEncryptionKey, type KeyEncryptionKey } from './envelope.ts';
import { pkiFault } from '../errors.ts';
import { findKey, findPreviousKey, makeKey, type KeySources } from './key-encryption-key.ts';

interface KeyMaterialOptions {
  /** The store's own. */
  readonly store: KeyMaterialStore;
  readonly sources: KeySources;
  readonly log: { info(facts: object, text: string): void; warn(facts: object, text: string): void };
  readonly now: () => number;
  /** Names of the nodes that work on the store, but for this one; undefined: this process has the store for itself. */
  readonly others?: (() => readonly string[]) | undefined;
  /** Of this start of Central, which may open the store more than once. */
  readonly made?: MadeKey | undefined;
}

/** The file of the key that this start made. */
export interface MadeKey {
  file?: string | undefined;
}

export interface KeyMaterial extends KeyMaterialStore {
  /** For backups and restores. */
  readonly keys: StoreKeys;
}

/**
 * Errors: key_encryption_key_bad, key_encryption_key_missing, key_encryption_key_wrong, key_encryption_key_elsewhere,
 * key_material_damaged, file faults.
 */
export async function openKeyMaterial(options: KeyMaterialOptions): Promise<KeyMaterial> {
  const { store, sources, log, now } = options;
  const kept = await loadSecrets(store);
  const secrets = kept.flatMap(({ rows }) => rows);
  const key = (await ownKey(secrets, options)) ?? (await firstKey(secrets, options));
  const previous = await findPreviousKey(sources, log);

  const changes: KeyMaterialChange[] = [];
  for (const { subject, version, rows } of kept) {
    const entries: KeyMaterialRow[] = [];
    for (const { name, value } of rows) {
      if (encryptionKeyId(value) === key.id) open(key, name, value);
      else {
        const text = isEncrypted(value) ? openOld(previous, key, { name, value }, options) : value;
        entries.push({ name, value: encrypt(key, name, text) });
      }
    }
    if (entries.length > 0) changes.push({ subject, version, entries });
  }
  const names = changes.flatMap(({ entries }) => entries.map(({ name }) => name));
  if (names.length > 0) {
    await store.put(changes, auditEntry(CENTRAL, 'key-material.encrypt', { names, key: key.id }, now()));
    log.info({ keys: names.length, origin: key.origin }, 'private keys in the store were encrypted');
  }

  return {
    keys: {
      bytes: () => key.key.export(),
      reencrypt(rows, from) {
        const other = keyEncryptionKey(from, 'the backup');
        const found = rows.filter(({ name }) => isSecret(name));
        const texts = found.map(({ name, value }) => (isEncrypted(value) ? decrypt(other, name, value) : value));
        if (texts.includes(undefined)) return undefined;
        return found.map(({ name }, i) => ({ name, value: encrypt(key, name, texts[i] ?? '') }));
      },
    },
    names: () => store.names(),
    async load(subject) {
      const { version, rows } = await store.load(subject);
      return {
        version,
        rows: rows.map((row) => (isSecret(row.name) ? { ...row, value: openAny(previous, key, row, options) } : row)),
      };
    },
    async put(plain, audit) {
      await store.put(
        plain.map((change) => ({
          ...change,
          entries: change.entries.map(({ name, value }) => ({
            name,
            value: value === null || !isSecret(name) ? value : encrypt(key, name, value),
          })),
        })),
        audit,
      );
    },
  };
}

/** The private keys as they are in the store, by subject. */
async function loadSecrets(
  store: KeyMaterialStore,
): Promise<{ readonly subject: string; readonly version: number; readonly rows: readonly KeyMaterialRow[] }[]> {
  const subjects = new Set((await store.names()).filter(isSecret).map((name) => name.slice(0, name.indexOf('.'))));
  return await Promise.all(
    Array.from(subjects, async (subject) => {
      const { version, rows } = await store.load(subject);
      return { subject, version, rows: rows.filter(({ name }) => isSecret(name)) };
    }),
  );
}

function isSecret(name: string): boolean {
  return name.endsWith('.key');
}

/** Without one that this start made while another node made the first keys of the store: nothing is sealed with it. */
async function ownKey(
  kept: readonly KeyMaterialRow[],
  { sources, log, made = {} }: KeyMaterialOptions,
): Promise<KeyEncryptionKey | undefined> {
  const key = await findKey(sources, log);
  if (key === undefined || key.origin !== made.file) return key;
  if (kept.every(({ value }) => !isEncrypted(value) || encryptionKeyId(value) === key.id)) return key;
  await rm(key.origin);
  made.file = undefined;
  return undefined;
}

function nodesText(names: readonly string[]): string {
  return names.length === 0 ? 'another node' : names.join(', ');
}

/**
 * A store without encrypted keys gets a key of its own. One that has them needs theirs: a new one would open nothing.
 */
async function firstKey(
  kept: readonly KeyMaterialRow[],
  { sources, log, made = {}, others }: KeyMaterialOptions,
): Promise<KeyEncryptionKey> {
  const encrypted = kept.find(({ value }) => isEncrypted(value));
  if (encrypted !== undefined) {
    const expected = encryptionKeyId(encrypted.value) ?? 'unknown';
    throw others === undefined
      ? pkiFault('key_encryption_key_missing', { expected })
      : pkiFault('key_encryption_key_elsewhere', { expected, found: 'none', nodes: nodesText(others()) });
  }
  const key = await makeKey(sources.dataFolder);
  made.file = key.origin;
  log.info(
    { file: key.origin },
    'a key that encrypts the private keys in the store was made: keep a copy of it apart from the backups of the data folder',
  );
  return key;
}

function openOld(
  previous: KeyEncryptionKey | undefined,
  key: KeyEncryptionKey,
  { name, value }: KeyMaterialRow,
  { others }: Pick<KeyMaterialOptions, 'others'>,
): string {
  const expected = encryptionKeyId(value);
  if (expected === undefined) throw pkiFault('key_material_damaged', { name, found: 'its envelope cannot be read' });
  if (previous?.id === expected) return open(previous, name, value);
  const { id: found, origin } = key;
  throw others === undefined || previous !== undefined
    ? pkiFault('key_encryption_key_wrong', { expected, found, origin })
    : pkiFault('key_encryption_key_elsewhere', {
        expected,
        found: `the key ${found} (${origin})`,
        nodes: nodesText(others()),
      });
}

/** Another node that was not started again since the key was changed, or made its own first one, seals with another key. */
function openAny(
  previous: KeyEncryptionKey | undefined,
  key: KeyEncryptionKey,
  row: KeyMaterialRow,
  options: Pick<KeyMaterialOptions, 'others'>,
): string {
  const isOfOther = isEncrypted(row.value) && encryptionKeyId(row.value) !== key.id;
  return isOfOther ? openOld(previous, key, row, options) : open(key, row.name, row.value);
}

function open(key: KeyEncryptionKey, name: string, value: string): string {
  const text = decrypt(key, name, value);
  if (text === undefined)
    throw pkiFault('key_material_damaged', { name, found: 'its envelope was changed, or was made for another name' });
  return text;
}

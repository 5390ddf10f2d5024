// Keeps private keys sealed in the store: an entry that ends in `.key` is sealed when it is written and opened when it is read. Older
// keys are sealed at the start, and sealed again when the key-encryption key changes. Nothing is overwritten unless every key of the
// store has been opened first.
import { auditEntry, CENTRAL } from '../../audit.ts';
import type { StoreKeys } from '../../store/backup/backup.ts';
import type { KeyMaterialStore } from '../../store/key-material-store.ts';
import { isSealed, keyEncryptionKey, seal, sealedUnder, unseal, type KeyEncryptionKey } from './envelope.ts';
import { pkiFault } from '../errors.ts';
import { findKey, findPreviousKey, makeKey, type KeySources } from './key-encryption-key.ts';

interface KeyMaterialOptions {
  /** The store's own. */
  readonly store: KeyMaterialStore;
  readonly sources: KeySources;
  readonly log: { info(facts: object, text: string): void; warn(facts: object, text: string): void };
  readonly now: () => number;
}

export interface KeyMaterial extends KeyMaterialStore {
  /** For backups and restores. */
  readonly keys: StoreKeys;
}

/** Errors: key_encryption_key_bad, key_encryption_key_missing, key_encryption_key_wrong, key_material_damaged, file faults. */
export async function openKeyMaterial({ store, sources, log, now }: KeyMaterialOptions): Promise<KeyMaterial> {
  const kept: { readonly name: string; readonly value: string }[] = [];
  for (const name of (await store.names()).filter(isSecret)) kept.push({ name, value: (await store.get(name)) ?? '' });
  const key = (await findKey(sources, log)) ?? (await firstKey(kept, sources, log));
  const previous = await findPreviousKey(sources, log);

  const renewed: { name: string; value: string }[] = [];
  for (const { name, value } of kept) {
    if (sealedUnder(value) === key.id) open(key, name, value);
    else renewed.push({ name, value: seal(key, name, isSealed(value) ? openOld(previous, key, name, value) : value) });
  }
  if (renewed.length > 0) {
    await store.put(
      renewed,
      auditEntry(CENTRAL, 'key-material.seal', { names: renewed.map(({ name }) => name), key: key.id }, now()),
    );
    log.info({ keys: renewed.length, origin: key.origin }, 'private keys in the store were sealed');
  }

  return {
    keys: {
      bytes: () => key.key.export(),
      sealAnew(rows, from) {
        const other = keyEncryptionKey(from, 'the backup');
        const secrets = rows.filter(({ name }) => isSecret(name));
        const texts = secrets.map(({ name, value }) => (isSealed(value) ? unseal(other, name, value) : value));
        if (texts.includes(undefined)) return undefined;
        return secrets.map(({ name }, i) => ({ name, value: seal(key, name, texts[i] ?? '') }));
      },
    },
    names: () => store.names(),
    async get(name) {
      const value = await store.get(name);
      return value === undefined || !isSecret(name) ? value : open(key, name, value);
    },
    async put(entries, audit) {
      await store.put(
        entries.map(({ name, value }) => ({
          name,
          value: value === null || !isSecret(name) ? value : seal(key, name, value),
        })),
        audit,
      );
    },
  };
}

function isSecret(name: string): boolean {
  return name.endsWith('.key');
}

/** A store without sealed keys gets a key of its own. One that has them needs theirs: a new one would open nothing. */
async function firstKey(
  kept: readonly { readonly value: string }[],
  { dataFolder }: KeySources,
  log: KeyMaterialOptions['log'],
): Promise<KeyEncryptionKey> {
  const sealed = kept.find(({ value }) => isSealed(value));
  if (sealed !== undefined)
    throw pkiFault('key_encryption_key_missing', { expected: sealedUnder(sealed.value) ?? 'unknown' });
  const key = await makeKey(dataFolder);
  log.info(
    { file: key.origin },
    'a key that seals the private keys in the store was made: keep a copy of it apart from the backups of the data folder',
  );
  return key;
}

function openOld(previous: KeyEncryptionKey | undefined, key: KeyEncryptionKey, name: string, value: string): string {
  const expected = sealedUnder(value);
  if (expected === undefined) throw pkiFault('key_material_damaged', { name, found: 'its envelope cannot be read' });
  if (previous?.id !== expected)
    throw pkiFault('key_encryption_key_wrong', { expected, found: key.id, origin: key.origin });
  return open(previous, name, value);
}

function open(key: KeyEncryptionKey, name: string, value: string): string {
  const text = unseal(key, name, value);
  if (text === undefined)
    throw pkiFault('key_material_damaged', { name, found: 'its envelope was changed, or was made for another name' });
  return text;
}

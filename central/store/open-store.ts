// Chooses the engine of Central's store. Nothing else in Central names one.
import type { CentralConfig } from '../config.ts';
import { Backups, type StoreKeys } from './backup/backup.ts';
import type { StoreFiles } from './backup/store-files.ts';
import { openSqliteStore, type SqliteStoreOptions } from './sqlite/sqlite-store.ts';
import { sqliteStoreFiles } from './sqlite/store-files.ts';
import type { Store } from './store.ts';

type StoreOptions = SqliteStoreOptions;

/** The store deduplicates at most this long; maintenance prunes by the parameter. */
const DEDUPLICATION_CAP_MS = 366 * 86_400_000;

/** Errors: data_in_use, data_newer, data_damaged, data_foreign, data_unusable. */
function openStore(options: StoreOptions): Promise<Store> {
  return openSqliteStore(options);
}

/** The store in Central's data folder. `onFailure`: it can no longer write. Errors: as openStore. */
export function openCentralStore(
  config: Pick<CentralConfig, 'advertisedNames' | 'centralName' | 'dataFolder' | 'hostName'>,
  onFailure: StoreOptions['onFailure'],
): Promise<Store> {
  return openStore({
    folder: config.dataFolder,
    deduplicationMs: DEDUPLICATION_CAP_MS,
    namesOfCentral: [config.centralName, config.hostName, ...config.advertisedNames],
    onFailure,
  });
}

/** For the store in this data folder. */
export function openStoreFiles(folder: string): StoreFiles {
  return sqliteStoreFiles(folder);
}

interface BackupsNeeds {
  readonly config: Pick<CentralConfig, 'centralName' | 'dataFolder'>;
  readonly store: Pick<Store, 'audit' | 'snapshot'>;
  readonly pki: { readonly keys: StoreKeys };
  readonly now: () => number;
}

export function openBackups({ config, store, pki, now }: BackupsNeeds): Backups {
  const { dataFolder: folder, centralName: central } = config;
  return new Backups({ folder, store, files: openStoreFiles(folder), keys: pki.keys, central, now });
}

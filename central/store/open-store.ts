// Chooses the engine of Central's store. Nothing else in Central names one.
import { holdDataFolder } from '../../shared/sqlite/data-folder.ts';
import { VERSION } from '../../shared/version.ts';
import type { CentralConfig } from '../config.ts';
import { Backups, type StoreKeys } from './backup/backup.ts';
import type { StoreFiles } from './backup/store-files.ts';
import { openSqliteStore, type SqliteStoreOptions } from './sqlite/sqlite-store.ts';
import { sqliteStoreFiles } from './sqlite/store-files.ts';
import type { Store } from './store.ts';

type StoreOptions = SqliteStoreOptions;

/** The store deduplicates at most this long; maintenance prunes by the parameter. */
const DEDUPLICATION_CAP_MS = 366 * 86_400_000;

type StoreConfig = Pick<CentralConfig, 'advertisedNames' | 'centralName' | 'dataFolder' | 'hostName'> &
  Partial<Pick<CentralConfig, 'nodeAddress' | 'nodeName' | 'storeUrl'>>;

/**
 * The store in PostgreSQL where `store.url` is set, else the one in the data folder, which belongs to this process in
 * either case. `onFailure`: it can no longer write. Errors: data_in_use, data_newer, data_damaged, data_foreign,
 * data_unusable; those of joinDatabase.
 */
export async function openCentralStore(config: StoreConfig, onFailure: StoreOptions['onFailure']): Promise<Store> {
  const common = {
    deduplicationMs: DEDUPLICATION_CAP_MS,
    namesOfCentral: [config.centralName, config.hostName, ...config.advertisedNames],
    onFailure,
  };
  if (config.storeUrl === undefined) return await openSqliteStore({ ...common, folder: config.dataFolder });
  const held = holdDataFolder(config.dataFolder);
  try {
    // Not loaded where it is not used.
    const { openPostgresStore } = await import('./postgres/postgres-store.ts');
    const node = { name: config.nodeName ?? config.centralName, address: config.nodeAddress ?? null, version: VERSION };
    const store = await openPostgresStore({ ...common, url: config.storeUrl, node });
    return { ...store, stop: () => store.stop().finally(() => held.release()) };
  } catch (error) {
    held.release();
    throw error;
  }
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

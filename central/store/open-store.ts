// Chooses the engine of Central's store. Nothing else in Central names one.
import type { StoreFiles } from './backup/store-files.ts';
import { openSqliteStore, type SqliteStoreOptions } from './sqlite/sqlite-store.ts';
import { sqliteStoreFiles } from './sqlite/store-files.ts';
import type { Store } from './store.ts';

export type StoreOptions = SqliteStoreOptions;

/** Errors: data_in_use, data_newer, data_damaged, data_foreign, data_unusable. */
export function openStore(options: StoreOptions): Promise<Store> {
  return openSqliteStore(options);
}

/** For the store in this data folder. */
export function openStoreFiles(folder: string): StoreFiles {
  return sqliteStoreFiles(folder);
}

// Chooses the engine of Central's store. Nothing else in Central names one.
import { rename } from 'node:fs/promises';
import { holdDataFolder } from '../../shared/sqlite/data-folder.ts';
import { VERSION } from '../../shared/version.ts';
import type { CentralConfig } from '../config.ts';
import { Backups, type StoreKeys } from './backup/backup.ts';
import type { StoreFiles } from './backup/store-files.ts';
import { openSqliteStore, type SqliteStoreOptions } from './sqlite/sqlite-store.ts';
import { sqliteStoreFiles } from './sqlite/store-files.ts';
import { databasePath } from './sqlite/threads/thread-data.ts';
import type { StoredTables } from './move/stored-tables.ts';
import type { MovedTable, MoveProgress } from './postgres/move-store.ts';
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

/**
 * Moves the embedded store of a Central that is stopped into an empty PostgreSQL, all of it or nothing. `prepare` gets the
 * embedded store first. A move that was cut behind its commit is completed. Answers what was moved (nothing, where it had
 * been moved before), and what the file of the embedded store is called now.
 * Errors: those of openCentralStore, of MOVE_ERRORS, and of connecting to PostgreSQL.
 */
export async function moveEmbeddedStore(
  config: Pick<CentralConfig, 'advertisedNames' | 'centralName' | 'dataFolder' | 'hostName'>,
  url: string,
  prepare: (store: Store) => Promise<void>,
  onProgress: (progress: MoveProgress) => void,
): Promise<{ readonly tables: readonly MovedTable[]; readonly before: string }> {
  // Loaded for this command only.
  const { connect } = await import('./postgres/connection/client.ts');
  const { moveStore, wasMoved } = await import('./postgres/move-store.ts');
  const { openStoredTables } = await import('./sqlite/stored-tables.ts');
  // First of all: nothing is changed in a store that another process has, or that cannot be moved.
  holdDataFolder(config.dataFolder).release();
  const target = await connect(url, { timeline: 0, system: '' });
  try {
    const path = databasePath(config.dataFolder);
    const before = movedStore(config.dataFolder);
    const withTables = async <T>(use: (open: () => StoredTables) => Promise<T>): Promise<T> => {
      const held = holdDataFolder(config.dataFolder);
      let source: ReturnType<typeof openStoredTables> | undefined;
      try {
        return await use(() => (source ??= openStoredTables(path)));
      } finally {
        source?.close();
        held.release();
      }
    };
    if (await withTables(async (open) => await wasMoved(open, target, config.dataFolder))) {
      await rename(path, before);
      return { tables: [], before };
    }
    const embedded = await openCentralStore({ ...config, storeUrl: undefined }, () => undefined);
    try {
      await prepare(embedded);
    } finally {
      await embedded.stop();
    }
    const tables = await withTables(async (open) => {
      const moved = await moveStore(open(), target, onProgress);
      await rename(path, before);
      return moved;
    });
    return { tables, before };
  } finally {
    await target.close();
  }
}

/**
 * Where the embedded store is kept once it was moved: a Central that is started without store.url by mistake must not go on
 * with it, since agents would report losses.
 */
export function movedStore(folder: string): string {
  return `${databasePath(folder)}.migrated`;
}

/** For the store in this data folder. */
export function openStoreFiles(folder: string): StoreFiles {
  return sqliteStoreFiles(folder);
}

interface BackupsNeeds {
  readonly config: Pick<CentralConfig, 'centralName' | 'dataFolder'>;
  readonly store: Pick<Store, 'audit' | 'nodes' | 'snapshot'>;
  readonly pki: { readonly keys: StoreKeys };
  readonly now: () => number;
}

export function openBackups({ config, store, pki, now }: BackupsNeeds): Backups {
  const { dataFolder: folder, centralName: central } = config;
  const isElsewhere = store.nodes !== undefined;
  return new Backups({ folder, store, files: openStoreFiles(folder), keys: pki.keys, central, now, isElsewhere });
}

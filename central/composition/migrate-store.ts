// Moves the embedded store of a Central that is stopped into PostgreSQL (queuegate-central migrate-store), and says how far
// it is and what is to be done next.
import { existsSync } from 'node:fs';
import { systemCode } from '../../shared/errors.ts';
import { auditEntry } from '../audit.ts';
import { configFault, type CentralConfig } from '../config.ts';
import { stateReason } from '../store/agents/state-reasons.ts';
import { moveFault } from '../store/move/errors.ts';
import { movedStore, moveEmbeddedStore, openStoreFiles } from '../store/open-store.ts';
import type { Store } from '../store/store.ts';

const ON_THE_HOST = { who: 'queuegate-central migrate-store', from: 'local' } as const;
/** So often a long table says how far it is. */
const PROGRESS_MS = 5_000;

type Config = Pick<
  CentralConfig,
  'advertisedNames' | 'centralName' | 'dataFolder' | 'hostName' | 'nodeName' | 'storeUrl'
>;

/** Errors: store_url_missing, data_folder_empty, store_moved_already, and those of moveEmbeddedStore. */
export async function migrateStore(config: Config, print: (line: string) => void): Promise<void> {
  const { dataFolder: folder, storeUrl } = config;
  if (storeUrl === undefined) throw moveFault('store_url_missing', {});
  await openStoreFiles(folder)
    .copyBytes()
    .catch((error: unknown) => {
      throw systemCode(error) === 'ENOENT' ? nothingToMove(folder, error) : error;
    });
  print(`Moves the store in ${folder} into PostgreSQL, in one transaction: until its end nothing is changed there.`);
  let shown = performance.now();
  const { tables, before } = await moveEmbeddedStore(
    config,
    storeUrl,
    (store) => prepare(store, config, print),
    ({ table, rows, allRows }) => {
      if (performance.now() - shown < PROGRESS_MS) return;
      shown = performance.now();
      print(`  ${table}: ${rows} of ${allRows} rows`);
    },
  );
  if (tables.length === 0)
    print('The store had been moved into this database, and was not used since: the command was cut behind the move.');
  else print('Moved, read back and compared:');
  for (const { table, rows, digest } of tables.filter((one) => one.rows > 0))
    print(`  ${table}: ${rows} ${rows === 1 ? 'row' : 'rows'}, ${digest}`);
  print('');
  print(`The store in the data folder is kept as ${before}; delete it when you are content.`);
  print('Next: give each node the key that encrypts the private keys in the store (keyEncryption.file, or');
  print(`key-encryption-key of ${folder}), a node.name of its own, and the same store.url. Then start them.`);
}

function nothingToMove(folder: string, cause: unknown): Error {
  const before = movedStore(folder);
  return existsSync(before)
    ? moveFault('store_moved_already', { folder, before }, cause)
    : configFault('data_folder_empty', { folder }, cause);
}

/** All of it as this version keeps it, no session open, and the act on record. */
async function prepare(store: Store, { nodeName }: Config, print: (line: string) => void): Promise<void> {
  const now = Date.now();
  await store.agents.endAbandonedSessions(nodeName, now, stateReason('central_ended', {}));
  for (let left = await store.convert(); left > 0; left = await store.convert())
    if (left % 100_000 < 1_000) print(`  events of an older version to convert: ${left}`);
  await store.audit.append(auditEntry(ON_THE_HOST, 'store.migrate', { node: nodeName }, now));
}

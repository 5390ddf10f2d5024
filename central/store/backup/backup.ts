// Makes backups of a running Central and stages restores, one at a time. A backup is a sealed copy of the store. An
// uploaded backup is opened into a file beside the store and validated before anything is changed; it replaces the
// store once Central has stopped (StoreFiles.replace).
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, readdir, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { auditEntry, type Actor } from '../../audit.ts';
import { isCoded, systemCode, textOf } from '../../../shared/errors.ts';
import { diskFaultOf } from '../../../shared/files/disk-faults.ts';
import { removeUnfinishedFiles } from '../../../shared/files/unfinished-files.ts';
import { VERSION } from '../../../shared/version.ts';
import { backupFault } from './errors.ts';
import { checkPassword, MOST_NAME, openBackup, sealBackup, type BackupFacts } from './format.ts';
import type { KeyMaterialRow } from '../key-material-store.ts';
import type { Store } from '../store.ts';
import type { StagedStore, StoreFiles } from './store-files.ts';

interface BackupsOptions {
  /** Central's data folder. */
  readonly folder: string;
  /** The store is in a server with backups of its own. */
  readonly isElsewhere?: boolean;
  readonly store: Pick<Store, 'snapshot' | 'audit'>;
  readonly files: StoreFiles;
  /** From central/pki/keys/key-material.ts. */
  readonly keys: StoreKeys;
  readonly central: string;
  readonly now: () => number;
}

/**
 * The key that seals the private keys in the store. A backup contains it; where it is restored another one may be in
 * use.
 */
export interface StoreKeys {
  /** 32 bytes. */
  bytes(): Buffer;
  /** The private keys among the rows, sealed again for this Central; undefined when one cannot be opened. */
  reencrypt(rows: readonly KeyMaterialRow[], from: Buffer): KeyMaterialRow[] | undefined;
}

export interface MadeBackup {
  readonly facts: BackupFacts;
  /** Has to be read to its end, or destroyed, also if nothing was read: the copy is on the disk until it is closed. */
  readonly sealed: Readable;
}

/** The outcome of a restore; `failure`: why Central runs with its old store. */
export interface RestoreOutcome {
  readonly backup: BackupFacts;
  readonly failure: string | null;
}

/** A restore that waits for Central to stop. */
export interface StagedRestore extends StagedStore {
  readonly facts: BackupFacts;
}

/** Left free on the disk, since Central goes on writing. */
const RESERVE_BYTES = 64 * 1024 * 1024;
const FOLDER_PREFIX = 'restore-';

export class Backups {
  readonly #options: BackupsOptions;
  #busy = false;

  constructor(options: BackupsOptions) {
    this.#options = options;
  }

  /** Errors: backup_elsewhere, backup_busy, backup_password_short, backup_no_room, backup_unsound, backup_failed. */
  async make(password: string, actor: Actor): Promise<MadeBackup> {
    this.#assertHere();
    checkPassword(password);
    const { folder, store, files, central, now } = this.#options;
    const work = await this.#begin();
    try {
      await assertRoom(folder, await files.copyBytes());
      const at = now();
      // First, so that the backup contains this entry.
      await store.audit.append(auditEntry(actor, 'store.backup', {}, at));
      const copy = join(work.folder, 'central.db');
      await store.snapshot(copy);
      const name = central.replaceAll(/\p{Cc}/gu, ' ').slice(0, MOST_NAME);
      const created = new Date(at).toISOString();
      const facts = { created, central: name, version: VERSION, bytes: (await stat(copy)).size };
      const content = { storeKey: this.#options.keys.bytes(), store: contentOf(copy) };
      const sealed = Readable.from(thenEnd(sealBackup(facts, password, content), work.end), { objectMode: false });
      // A generator of which nothing was read ends without running anything.
      sealed.once('close', () => void work.end().catch(() => undefined));
      return { facts, sealed };
    } catch (error) {
      await work.end();
      throw faultOf(error, folder);
    }
  }

  /**
   * Opens and validates a backup. Nothing that runs is touched: the caller stops Central and calls StoreFiles.replace,
   * or calls `discard`. Errors: backup_busy and all other codes of errors.ts.
   */
  async stage(sealed: AsyncIterable<Buffer>, password: string, actor: Actor): Promise<StagedRestore> {
    this.#assertHere();
    const { folder, files, now } = this.#options;
    const work = await this.#begin();
    try {
      const { facts, storeKey, store } = await openBackup(sealed, password);
      await assertRoom(folder, facts.bytes);
      const file = join(work.folder, 'central.db');
      await pipeline(store, createWriteStream(file, { flags: 'wx', mode: 0o600, flush: true }));
      const rows = await files.validate(file);
      const keys = this.#options.keys.reencrypt(rows, storeKey);
      if (keys === undefined)
        throw backupFault('backup_unsound', {
          found: 'the private keys in it do not open with the key that came with them',
        });
      const audit = auditEntry(actor, 'store.restore', { backup: facts }, now());
      // In the store that is replaced, too.
      await this.#options.store.audit.append(audit);
      return { file, folder: work.folder, facts, keys, audit };
    } catch (error) {
      await work.end();
      throw faultOf(error, folder);
    }
  }

  async discard(staged: StagedRestore): Promise<void> {
    await rm(staged.folder, { recursive: true, force: true });
    this.#busy = false;
  }

  async pruneReplaced(): Promise<void> {
    await this.#options.files.pruneReplaced(this.#options.now());
  }

  #assertHere(): void {
    if (this.#options.isElsewhere === true) throw backupFault('backup_elsewhere', {});
  }

  async #begin(): Promise<{ readonly folder: string; readonly end: () => Promise<void> }> {
    if (this.#busy) throw backupFault('backup_busy', {});
    this.#busy = true;
    try {
      const folder = await mkdtemp(join(this.#options.folder, FOLDER_PREFIX));
      let hasEnded = false;
      return {
        folder,
        end: async () => {
          if (hasEnded) return;
          hasEnded = true;
          try {
            await rm(folder, { recursive: true, force: true });
          } finally {
            this.#busy = false;
          }
        },
      };
    } catch (error) {
      this.#busy = false;
      throw faultOf(error, this.#options.folder);
    }
  }
}

/**
 * Deletes work folders and unfinished files that a killed Central left behind; called at the start, before any work
 * begins.
 */
export async function removeLeftovers(folder: string): Promise<void> {
  await removeUnfinishedFiles(folder);
  for (const name of await readdir(folder))
    if (name.startsWith(FOLDER_PREFIX)) await rm(join(folder, name), { recursive: true, force: true });
}

/** Opened when it is read, so that a copy that is never read leaves no descriptor open. */
async function* contentOf(file: string): AsyncGenerator<Buffer> {
  yield* createReadStream(file);
}

/** The next backup may begin as soon as the last byte of this one was read. */
async function* thenEnd(sealed: AsyncIterable<Buffer>, end: () => Promise<void>): AsyncGenerator<Buffer> {
  try {
    yield* sealed;
  } finally {
    await end();
  }
}

async function assertRoom(path: string, needed: number): Promise<void> {
  const { bavail, bsize } = await statfs(path);
  const free = bavail * bsize;
  if (free < needed + RESERVE_BYTES)
    throw backupFault('backup_no_room', { path, needed: needed + RESERVE_BYTES, free });
}

function faultOf(error: unknown, path: string): unknown {
  if (isCoded(error)) return error;
  const code = systemCode(error);
  // The sender of the backup is gone; no client reads this answer.
  if (code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE')
    return backupFault('backup_failed', { found: 'the backup was not sent to its end', path }, error);
  return (
    diskFaultOf(join(path, 'central.db'), error) ?? backupFault('backup_failed', { found: textOf(error), path }, error)
  );
}

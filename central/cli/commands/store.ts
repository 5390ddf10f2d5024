// The commands `store show`, `store backup` and `store restore`.
import { createReadStream } from 'node:fs';
import { readdir, stat, unlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isCoded, textOf } from '../../../shared/errors.ts';
import { writing } from '../../../shared/files/disk-faults.ts';
import { beginSecretFile, checkSecretFile } from '../../../shared/files/secret-file.ts';
import { checkPassword, openBackup } from '../../store/backup/format.ts';
import { isRecord } from '../../../shared/wire/json-schema.ts';
import type { Command, CommandCall } from '../command.ts';
import { cliFault } from '../errors.ts';
import { facts, recordOf, shown } from '../print.ts';
import { REASON, termsOf, YES } from '../terms.ts';
import { WATCH } from '../watching/watch.ts';

const PASSWORD_FILE = {
  'password-file': {
    type: 'string',
    doc: 'file with the password of the backup (or the password itself in QUEUEGATE_BACKUP_PASSWORD)',
  },
} as const;
/** How long a Central may take to start again. */
const BACK_WITHIN_MS = 120_000;
const LOOK_MS = 500;

export const storeCommands: readonly Command[] = [
  {
    name: 'store show',
    usage: '',
    summary: 'size of the store, the disk reserve, and the quotas of each agent',
    options: WATCH,
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await call.client.request('GET', '/store');
      const store = recordOf(answer);
      const [reserve, quotas] = [recordOf(store['reserve']), recordOf(store['quotas'])];
      call.answer(answer, () =>
        facts([
          ['engine', `${shown(store['engine'])}, schema ${shown(store['schema'])}`],
          ['size', `${shown(store['bytes'])} bytes`],
          ['events', store['eventCount']],
          // Only while Central converts what an older version stored.
          ...(store['unconvertedEventCount'] === 0
            ? []
            : [['events to convert', store['unconvertedEventCount']] as const]),
          [
            'dead letters',
            `${shown(store['deadLetterCount'])} (${shown(store['droppedDeadLetterCount'])} gave way to newer ones)`,
          ],
          [
            'disk space',
            `${shown(reserve['state'])}: ${shown(reserve['availableBytes'])} bytes available, ${shown(reserve['reserveBytes'])} in reserve`,
          ],
          [
            'quota per agent',
            `${shown(quotas['deadLetterCount'])} dead letters or ${shown(quotas['deadLetterBytes'])} bytes of them, ${quotas['eventsPerDayCount'] === null ? 'any number of events' : `${shown(quotas['eventsPerDayCount'])} events a day`}`,
          ],
        ]),
      );
    },
  },
  {
    name: 'store backup',
    usage: '--out FILE|FOLDER [--keep N] [--password-file FILE]',
    summary: 'write the whole store of Central with its keys into a sealed file, while Central runs',
    help: 'The file is read to its end and checked with the password before it gets its name. Keep the password elsewhere.',
    options: {
      out: {
        type: 'string',
        doc: 'the file to write, which must not exist, or a folder, where the name is central-TIME.qgbackup',
      },
      keep: {
        type: 'string',
        doc: 'with a folder: delete all but the newest N backups in it, once the new one is verified (1 to 10000)',
      },
      ...PASSWORD_FILE,
      ...REASON,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const { file, folder } = await backupTarget(call);
      const keep = keptCount(call, folder);
      const password = await readPassword(call);
      checkPassword(password);
      await checkSecretFile(file);
      const unfinished = await beginSecretFile(file, `${file}.unfinished`);
      try {
        const sealed = await call.client.download('/store/backup', { query: termsOf(call), body: { password } });
        await writing(file, () => unfinished.handle.writeFile(sealed));
        // A broken connection or a faulty disk is found now, and not on the day on which the backup is needed.
        const facts = await prove(unfinished.temporary, password);
        await unfinished.finish();
        const { size } = await stat(file);
        const deleted = folder === undefined || keep === undefined ? [] : await pruneBackups(folder, keep);
        call.answer(
          { file, bytes: size, backup: facts, deleted },
          () =>
            `Written to ${file} (${size} bytes), and read back with the password.\nIt cannot be restored without the password.${deleted.map((name) => `\nDeleted ${name}.`).join('')}`,
        );
      } catch (error) {
        await unfinished.discard();
        if (isCoded(error) || call.signal.aborted) throw error;
        throw cliFault('file_not_written', { file, found: textOf(error) }, error);
      }
    },
  },
  {
    name: 'store restore',
    usage: 'FILE [--password-file FILE]',
    summary: 'replace the store with a backup; Central ends its sessions and starts again with it',
    help: 'The backup is checked as a whole before anything changes. The previous store stays in the data folder (central.db.before-restore-...).',
    options: { ...PASSWORD_FILE, ...YES, ...REASON },
    asks: 'always',
    words: { least: 1, most: 1 },
    async run(call) {
      const file = resolve(call.workingFolder, call.words[0] ?? '');
      const password = await readPassword(call);
      const known = await stat(file).catch((error: unknown) => {
        throw call.complain(`${file} cannot be read (${textOf(error)})`);
      });
      const headers = {
        'content-type': 'application/octet-stream',
        'content-length': String(known.size),
        'queuegate-password': Buffer.from(password).toString('base64url'),
      };
      const running = await startOf(call);
      const before = running?.startedAt;
      await call.confirm({
        act: `Replace the store of ${running?.central ?? 'Central'} with the backup ${file}`,
        effect: 'What came since it was made is lost, and Central starts again.',
        name: running?.central ?? 'restore',
      });
      const answer = recordOf(
        await call.client.upload('/store/restore', { query: termsOf(call), headers, content: createReadStream(file) }),
      );
      const facts = recordOf(answer['backup']);
      const failure = await backAgain(call, before);
      if (failure !== undefined) throw cliFault('restore_rolled_back', { found: failure });
      call.answer(
        answer,
        () =>
          `Central runs with the backup of ${shown(facts['createdAt'])}.\nTokens and parameters are those of the backup; logs that do not match are listed under "queuegate incidents list".`,
      );
    },
  },
];

/** The file to write, and its folder where only that is named. */
async function backupTarget(
  call: CommandCall,
): Promise<{ readonly file: string; readonly folder: string | undefined }> {
  const out = call.text('out');
  if (out === undefined) throw call.complain('--out is missing');
  const path = resolve(call.workingFolder, out);
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) return { file: path, folder: undefined };
  return {
    file: join(path, `central-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}.qgbackup`),
    folder: path,
  };
}

function keptCount(call: CommandCall, folder: string | undefined): number | undefined {
  const text = call.text('keep');
  if (text === undefined) return undefined;
  if (folder === undefined) throw call.complain('--keep needs a folder as --out');
  const keep = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (keep < 1 || keep > 10_000) throw call.complain(`--keep is "${text}"; allowed: 1 to 10000`);
  return keep;
}

/** Deletes what this command wrote there under its own names, and nothing else. The names sort by time. */
async function pruneBackups(folder: string, keep: number): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => /^central-\d{8}T\d{6}Z\.qgbackup$/.test(name));
  const old = names.toSorted().slice(0, -keep);
  for (const name of old) await unlink(join(folder, name));
  return old;
}

async function prove(file: string, password: string): Promise<unknown> {
  const { facts, store } = await openBackup(createReadStream(file), password);
  let bytes = 0;
  for await (const chunk of store) bytes += chunk.length;
  return { ...facts, bytes };
}

interface Running {
  readonly central: string;
  readonly startedAt: string;
  readonly failure: string | undefined;
}

/**
 * When the Central that answers now was started, and why it runs with the store from before; undefined while none
 * answers.
 */
async function startOf(call: CommandCall): Promise<Running | undefined> {
  return await call.client.request('GET', '/status').then(
    (status) => {
      const { central, startedAt, restore } = recordOf(status);
      const failure = isRecord(restore) && typeof restore['failure'] === 'string' ? restore['failure'] : undefined;
      return { central: shown(central), startedAt: typeof startedAt === 'string' ? startedAt : '', failure };
    },
    (error: unknown) => {
      // The token may be younger than the backup: then this Central does not know it, and is the restored one.
      if (isCoded(error, 'unauthenticated'))
        return { central: 'restore', startedAt: 'with the restored tokens', failure: undefined };
      if (isCoded(error, 'administration_unreachable', 'local_socket_missing', 'going_away', 'store_stopped'))
        return undefined;
      throw error;
    },
  );
}

/** Why the restore was rolled back; undefined when it was not. */
async function backAgain(call: CommandCall, before: string | undefined): Promise<string | undefined> {
  const deadline = Date.now() + BACK_WITHIN_MS;
  while (Date.now() < deadline) {
    const started = await startOf(call);
    if (started !== undefined && started.startedAt !== before) return started.failure;
    await new Promise((done) => setTimeout(done, LOOK_MS));
  }
  throw cliFault('restore_timeout', { seconds: BACK_WITHIN_MS / 1000 });
}

async function readPassword(call: CommandCall): Promise<string> {
  const password = await call.secret('password-file', 'QUEUEGATE_BACKUP_PASSWORD', 'Password of the backup');
  if (password === undefined) throw cliFault('backup_password_missing', {});
  return password;
}

// The errors of backup and restore.
import { defineErrors, type ErrorTable } from '../../../shared/errors.ts';

export const BACKUP_ERRORS = {
  backup_password_short: {
    status: 400,
    text: 'The backup password has {found} characters; allowed: {least} to {most}.',
    hint: 'A backup contains private keys: choose a long password, and keep it apart from the backup.',
  },
  backup_password_wrong: {
    status: 422,
    text: 'The password does not open this backup, or the head of the file was changed.',
    hint: 'Enter the password that was set when the backup was made ({created}). Without it the backup cannot be read.',
  },
  backup_unknown: {
    status: 422,
    text: 'The file is not a backup of Central: {found}.',
    hint: 'Name a file that "queuegate store backup" wrote, whole and unchanged; nothing was restored.',
  },
  backup_truncated: {
    status: 422,
    text: 'The backup is truncated: {found} of {bytes} bytes are there.',
    hint: 'Copy the file again from its source, or use an older backup; nothing was restored.',
  },
  backup_tampered: {
    status: 422,
    text: 'The backup was changed or damaged after it was made (at byte {at} of its content).',
    hint: 'Copy the file again from its source, or use another backup; nothing was restored.',
  },
  backup_newer: {
    status: 422,
    text: 'The backup was made by a newer version ({found}; this version knows up to {known}).',
    hint: 'Install the version that made the backup, or a later one, and restore again; nothing was restored.',
  },
  backup_unsound: {
    status: 422,
    text: 'The store in the backup is damaged, or not one that Central wrote: {found}.',
    hint: 'It was damaged or changed before the backup was encrypted: use an older backup, from a source that you trust; nothing was restored.',
  },
  backup_no_room: {
    status: 507,
    text: 'Not enough disk space in {path}: {needed} bytes are needed, {free} are free.',
    hint: 'Free space on that disk (files named central.db.before-restore-... may be deleted when you no longer need them) and try again; nothing was changed.',
  },
  backup_busy: {
    status: 409,
    text: 'Another backup or restore is in progress.',
    hint: 'Wait until it has ended, and try again.',
  },
  backup_elsewhere: {
    status: 409,
    text: 'The store is in PostgreSQL: it is backed up there.',
    hint: 'Use pg_basebackup with archived WAL (point-in-time recovery), and keep the key-encryption key too. "queuegate ca export" exports the authority as before.',
  },
  backup_failed: {
    status: 500,
    text: 'The backup or restore failed: {found}.',
    hint: 'Check the disk of {path} and the log of Central; the running store was not changed.',
  },
} as const satisfies ErrorTable;

export const backupFault = defineErrors(BACKUP_ERRORS);

// Owns what can be wrong with a backup or a restore, in words for the administrator.
import { defineErrors, type ErrorTable } from '../../../shared/errors.ts';

export const BACKUP_ERRORS = {
  backup_password_short: {
    status: 400,
    text: 'The password of the backup has {found} characters; allowed: {least} to {most}.',
    hint: 'A backup holds private keys: take a long password, and keep it elsewhere than the backup.',
  },
  backup_password_wrong: {
    status: 422,
    text: 'The password does not open this backup, or the head of the file was changed.',
    hint: 'Give the password that was set when the backup was made ({created}). Without it nobody can read the backup.',
  },
  backup_unknown: {
    status: 422,
    text: 'This is no backup of Central: {found}.',
    hint: 'Name a file that "queuegate store backup" wrote, whole and unchanged; nothing was restored.',
  },
  backup_truncated: {
    status: 422,
    text: 'The backup is cut off: {found} of {bytes} bytes are there.',
    hint: 'Copy the file again from where it was made, or take an older backup; nothing was restored.',
  },
  backup_tampered: {
    status: 422,
    text: 'The backup was changed after it was made, or its disk lost something (at byte {at} of what it holds).',
    hint: 'Copy the file again from where it was made, or take another backup; nothing was restored.',
  },
  backup_newer: {
    status: 422,
    text: 'The backup was made by a newer version ({found}; this version knows up to {known}).',
    hint: 'Install the version that made the backup, or a later one, and restore again; nothing was restored.',
  },
  backup_unsound: {
    status: 422,
    text: 'The store in the backup is not sound: {found}.',
    hint: 'It was damaged before it was saved: take an older backup; nothing was restored.',
  },
  backup_no_room: {
    status: 507,
    text: 'There is no room in {path}: {needed} bytes are needed, {free} are free.',
    hint: 'Make room on that disk (copies named central.db.before-restore-... may be deleted when they are no longer wanted) and try again; nothing was changed.',
  },
  backup_busy: {
    status: 409,
    text: 'Another backup or restore is under way.',
    hint: 'Wait until it has ended, and try again.',
  },
  backup_failed: {
    status: 500,
    text: 'The backup or restore could not be carried out: {found}.',
    hint: 'Look at the disk of {path} and at the log of Central; the store that runs was not changed.',
  },
} as const satisfies ErrorTable;

export const backupFault = defineErrors(BACKUP_ERRORS);

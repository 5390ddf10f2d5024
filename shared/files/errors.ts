// The errors of files that somebody named, and of the disks that hold them.
import { defineErrors, type ErrorTable } from '../errors.ts';

export const FILE_ERRORS = {
  file_missing: { text: '{what} {file} does not exist.', hint: '{hint}' },
  file_not_regular: { text: '{what} {file} is not a file but {found}.', hint: '{hint}' },
  file_unreadable: {
    text: '{what} {file} cannot be read: {found}.',
    hint: 'Allow the account of this process to read it.',
  },
  file_unwritable: {
    text: '{file} cannot be written: {found}.',
    hint: 'Allow the account of this process to write to that folder, and check that the disk is not full.',
  },
  secret_file_exists: {
    text: '{file} already exists, and a file with a secret is never overwritten.',
    hint: 'Choose another file, or delete that one.',
  },
  secret_file_unsafe: {
    text: '{file} was not written, because another account could read or replace it: {found}.',
    hint: '{action}',
  },
  file_too_large: { text: '{what} {file} has {bytes} bytes; allowed: {maxBytes}.', hint: '{hint}' },
} as const satisfies ErrorTable;

export const fileFault = defineErrors(FILE_ERRORS);

export const DISK_ERRORS = {
  disk_full: {
    status: 507,
    text: '{file} cannot be written: its disk is full ({found}).',
    hint: 'Free space on the disk of {folder} (df -h {folder}), then try again.',
  },
  disk_inodes_full: {
    status: 507,
    text: '{file} cannot be written: its file system has space but no free inodes ({found}).',
    hint: 'Delete files that are not needed on the file system of {folder} (df -i {folder}); small ones count as much as large ones. Then try again.',
  },
  disk_quota_exceeded: {
    status: 507,
    text: '{file} cannot be written: the disk quota of the account is exceeded ({found}).',
    hint: 'Raise the quota of the account that this program runs under (quota -s shows it), or delete files of that account. Then try again.',
  },
  disk_read_only: {
    status: 507,
    text: '{file} cannot be written: its file system is read-only ({found}).',
    hint: 'Mount the file system of {folder} for writing. If it was: the kernel makes it read-only after an error (dmesg).',
  },
  disk_failed: {
    status: 500,
    text: '{file} cannot be read or written: its disk reports an error ({found}).',
    hint: 'Check the disk of {folder} (dmesg, smartctl). Nothing in the file was found to be wrong: try again first.',
  },
  too_many_open_files: {
    status: 503,
    retryable: true,
    text: '{file} cannot be opened: the limit of open files is reached ({found}).',
    hint: 'Raise the limit: LimitNOFILE= in the unit of the service, or ulimit -n before the start.',
  },
} as const satisfies ErrorTable;

export const diskFault = defineErrors(DISK_ERRORS);

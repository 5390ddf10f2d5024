// The error table of the administrator's command line, and its exit statuses.
import { defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const CLI_ERRORS = {
  usage: { text: '{found}.', hint: 'Usage: {usage}' },
  command_unknown: { text: 'There is no command "{found}".', hint: 'Commands are: {commands}. "queuegate help" explains them.' },
  administration_unreachable: {
    text: 'Central cannot be reached at {url}: {found}.',
    hint: 'Look whether it runs there ("queuegate status" on its own host); name another address with --url or QUEUEGATE_URL.',
  },
  central_not_trusted: {
    text: 'The certificate of {url} is not trusted: {found}.',
    hint: 'Name the root of Central with --ca FILE or QUEUEGATE_CA ("queuegate ca export" on its own host writes it), and use a host name that its certificate has.',
  },
  no_administration: { text: 'What answers at {url} is no Central: {found}.', hint: 'The administration is on port 8080 (HTTP, its own host only) and 8443 (HTTPS).' },
  token_missing: {
    text: 'There is no API token: {file} cannot be read, and QUEUEGATE_TOKEN is not set.',
    hint: 'Run it as the account of Central in its working folder, name a file with --token-file, or set QUEUEGATE_TOKEN.',
  },
  token_over_plain_http: {
    text: 'A token may not go over unencrypted HTTP to another host ({url}).',
    hint: 'Use https:// and port 8443, with --ca FILE.',
  },
  file_not_written: { text: '{file} cannot be written: {found}.', hint: 'Name a file in a folder that exists and that you may write to.' },
  backup_password_missing: {
    text: 'The password of the backup is missing.',
    hint: 'Set QUEUEGATE_BACKUP_PASSWORD, or name a file that holds it with --password-file FILE.',
  },
  not_back: {
    text: 'The backup was taken, but Central was not back within {seconds} seconds.',
    hint: 'Look at its log: it names what it does, and goes back to the store before when it does not start with the restored one. Its ports may be those of the backup.',
  },
  restore_undone: {
    text: 'Central runs with the store that it had before: {found}',
    hint: 'Look at its log; the backup may be of another version or damaged before it was made. Try an older one.',
  },
  json_bad: { text: '{what} is no JSON: {found}.', hint: "Quote it for the shell: --data '[7]'." },
} as const satisfies ErrorTable;

export const cliFault = defineErrors(CLI_ERRORS);
/** Of what the shell is told: something went wrong; the line itself was wrong. */
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

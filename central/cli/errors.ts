// The error table of the administrator's command line. Exit statuses: shared/terminal/exit-status.ts.
import { defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const CLI_ERRORS = {
  administration_unreachable: {
    text: 'Central cannot be reached at {url}: {found}.',
    hint: 'Check that it runs there ("queuegate status" on its own host), and that --url or QUEUEGATE_URL names its port of HTTPS administration.',
  },
  central_not_trusted: {
    text: 'The certificate of {url} is not trusted: {found}.',
    hint: 'Set the root certificate of Central with --ca-file FILE or QUEUEGATE_CA_FILE ("queuegate ca trust-bundle" on its own host writes it), and use a host name that its certificate has.',
  },
  no_administration: {
    text: 'The server at {url} does not answer as Central does: {found}.',
    hint: 'Name the port of HTTPS administration (8443): --url https://HOST:8443',
  },
  token_missing: {
    text: 'The API token is missing: {file} cannot be read, and QUEUEGATE_TOKEN is not set.',
    hint: 'Run it as the account of Central in its working folder, name a file with --token-file, or set QUEUEGATE_TOKEN. If every token is lost, run "queuegate-central create-administrator-token" on the host of Central.',
  },
  token_malformed: {
    text: 'What was entered is not an API token; a token begins with qg_.',
    hint: 'Enter the token as "queuegate api-tokens create" showed it, or name a file that holds it: --token-file FILE.',
  },
  url_invalid: {
    text: '"{found}" is not an address of Central.',
    hint: 'Set --url or QUEUEGATE_URL to an address such as https://central.bank.example:8443',
  },
  context_unknown: {
    text: 'The context "{found}" does not exist.',
    hint: 'Name one of: {names}. "queuegate contexts set NAME --url URL" makes one.',
  },
  context_name_invalid: {
    text: '"{found}" cannot be the name of a context.',
    hint: 'Use 1 to 64 letters, digits, dots, hyphens and underscores; begin with a letter or a digit.',
  },
  context_read_only: {
    text: 'The context "{name}" is read-only, and this command sends {method}.',
    hint: 'Use another context with --context NAME, or run "queuegate contexts set {name} --writable".',
  },
  contexts_unreadable: {
    text: 'The contexts in {file} cannot be read: {found}.',
    hint: 'Repair the file, or delete it and make the contexts again with "queuegate contexts set".',
  },
  token_over_plain_http: {
    text: 'The API token is not sent to {url}: over unencrypted HTTP, any process on that port could read it.',
    hint: 'On the host of Central leave out --url and QUEUEGATE_URL: the socket in the data folder is used. From elsewhere use https:// and port 8443, with --ca-file FILE.',
  },
  tls_weakened: {
    text: 'The API token is not sent: {found} weakens TLS for this process.',
    hint: 'Unset it. To trust a certificate, set its root with --ca-file FILE or QUEUEGATE_CA_FILE.',
  },
  file_not_written: {
    text: '{file} cannot be written: {found}.',
    hint: 'Name a file in a folder that exists and that you may write to.',
  },
  secret_place_missing: {
    text: 'The standard output is not a terminal, so the secret is written to a file, but not in {folder}: {found}',
    hint: 'Name a new file with --out FILE, in a folder that only this account may write to.',
  },
  backup_password_missing: {
    text: 'The password of the backup is missing.',
    hint: 'Set QUEUEGATE_BACKUP_PASSWORD, name a file that holds it with --password-file FILE (- reads it from the standard input), or run this on a terminal, which asks for it.',
  },
  task_output_changed: {
    text: 'What the agent sent of {channel} of the task {task} is not what it reported: the SHA-256 differs.',
    hint: 'Something has changed the file on the host of the agent since, or the task ran again there (rerun=true). Do not use it.',
  },
  restore_timeout: {
    text: 'Central accepted the backup, but did not answer within {seconds} s.',
    hint: 'Look at its log: Central rolls back to the previous store when it does not start with the restored one. Its ports may be those of the backup.',
  },
  restore_rolled_back: {
    text: 'The restore was rolled back; Central runs with its previous store: {found}',
    hint: 'Look at its log; the backup may be of another version, or was damaged before it was made. Try an older one.',
  },
  not_confirmed: {
    text: 'Nothing was changed: the answer was "{found}"; allowed: {allowed}.',
    hint: 'Run the command again and enter one of them, or add --yes.',
  },
  change_missing: {
    text: 'No change is pending.',
    hint: 'See "queuegate parameters list" or "queuegate server-certificate show": the change was confirmed or rolled back.',
  },
  change_ambiguous: {
    text: '{count} changes are pending: {ids}.',
    hint: 'Name one of them; "queuegate changes list" shows what each changes.',
  },
  audit_invalid: {
    text: 'The audit log is not what was written; faults: {count}.',
    hint: 'docs/OPERATIONS.md, "The audit log", says how to continue.',
  },
  audit_entry_unknown: {
    text: 'The audit log has no entry {number}.',
    hint: 'List the entries: queuegate audit list',
  },
  row_unknown: {
    text: '{id} is not in the list of {list}.',
    hint: 'List them: queuegate {list} list. Old ones are deleted.',
  },
  wait_timeout: {
    text: '{what} has not reached its final state within {seconds} s; its state is {state}.',
    hint: 'Nothing was canceled. Run "queuegate {command}" to see it, or wait longer: --wait=1h',
  },
  directory_changed: {
    text: '{path} changed while it was read.',
    hint: 'Stop what writes into the directory, then import it again.',
  },
  json_bad: { text: '{what} is not valid JSON: {found}.', hint: "Quote it for the shell: --data '[7]'." },
} as const satisfies ErrorTable;

export const cliFault = defineErrors(CLI_ERRORS);

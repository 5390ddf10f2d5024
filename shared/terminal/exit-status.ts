// The exit status of a command line, by the cause of its error: the same numbers in every program, from one table for
// all of them.
import { isCoded } from '../errors.ts';

export const EXIT_DONE = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
export const EXIT_UNREACHABLE = 3;
const EXIT_NOT_ALLOWED = 4;
const EXIT_NOT_FOUND = 5;
export const EXIT_REFUSED = 6;
const EXIT_CONFLICT = 7;
const EXIT_TIMEOUT = 8;
/** The exit code of a shell for a program that Ctrl-C ended. */
export const EXIT_CANCELED = 130;

/** Of an answer by its HTTP status. Any other: the command failed. */
const EXIT_OF_STATUS: Readonly<Record<number, number>> = {
  400: EXIT_REFUSED,
  401: EXIT_NOT_ALLOWED,
  403: EXIT_NOT_ALLOWED,
  404: EXIT_NOT_FOUND,
  409: EXIT_CONFLICT,
  410: EXIT_NOT_FOUND,
  412: EXIT_CONFLICT,
  413: EXIT_REFUSED,
  415: EXIT_REFUSED,
  422: EXIT_REFUSED,
  428: EXIT_CONFLICT,
  429: EXIT_UNREACHABLE,
  503: EXIT_UNREACHABLE,
};

/**
 * Of what fails on this machine, by its code. Central's own errors have their HTTP status; what can be retried without
 * a repair is EXIT_UNREACHABLE.
 */
const CODES: readonly (readonly [status: number, codes: readonly string[]])[] = [
  [
    EXIT_USAGE,
    [
      'usage',
      'command_unknown',
      'url_invalid',
      'context_name_invalid',
      'backup_password_missing',
      'enroll_url_bad',
      'pin_bad',
      'pin_missing',
      'central_address_missing',
      'recovery_address_missing',
    ],
  ],
  [
    EXIT_UNREACHABLE,
    [
      'administration_unreachable',
      'central_not_trusted',
      'no_administration',
      'local_socket_missing',
      'local_socket_foreign',
      'token_over_plain_http',
      'tls_weakened',
      'daemon_never_ran',
      'daemon_not_answering',
      'pin_mismatch',
      'enroll_unproven',
      'no_central',
      'protocol_differs',
      'plain_on_secure_port',
      'binding_unavailable',
    ],
  ],
  [
    EXIT_NOT_ALLOWED,
    [
      'token_missing',
      'token_malformed',
      'token_bad',
      'recovery_code_bad',
      'keystore_password_missing',
      'keystore_password_wrong',
      'keystore_key_password_wrong',
    ],
  ],
  [
    EXIT_NOT_FOUND,
    [
      'context_unknown',
      'change_missing',
      'audit_entry_unknown',
      'row_unknown',
      'file_missing',
      'request_missing',
      'truststore_alias_unknown',
      'truststore_fingerprint_unknown',
    ],
  ],
  [
    EXIT_REFUSED,
    [
      'context_read_only',
      'json_bad',
      // Acts that can cut agents off are refused, not in conflict with a state.
      'would_cut_off_agents',
      'would_cut_off_administrator',
      'settings_refused',
      'consumer_setting_bad',
      'file_not_regular',
      'file_too_large',
      'secret_file_unsafe',
      'certificate_file_unfit',
    ],
  ],
  [
    EXIT_CONFLICT,
    [
      'change_ambiguous',
      'already_enrolled',
      'not_enrolled',
      'certificate_other_agent',
      'data_in_use',
      'data_newer',
      'truststore_exists',
      'secret_file_exists',
      'truststore_alias_taken',
      'truststore_alias_ambiguous',
      'truststore_already_trusted',
    ],
  ],
  [EXIT_TIMEOUT, ['restore_timeout', 'wait_timeout', 'enrollment_undecided']],
  [EXIT_FAILED, ['truststore_not_read_back']],
];
export const EXIT_OF_CODE: ReadonlyMap<string, number> = new Map(
  CODES.flatMap(([status, codes]) => codes.map((code) => [code, status] as const)),
);

/** Of a subject whose other codes all mean the same. */
const EXIT_OF_PREFIX: readonly (readonly [prefix: string, status: number])[] = [
  ['keystore_', EXIT_REFUSED],
  ['truststore_', EXIT_REFUSED],
  // The peer is not trusted.
  ['tls_', EXIT_UNREACHABLE],
];

export function exitStatusOf(error: unknown): number {
  if (!isCoded(error)) return EXIT_FAILED;
  const { code, status, retryable } = error;
  return (
    EXIT_OF_CODE.get(code) ??
    EXIT_OF_STATUS[status] ??
    EXIT_OF_PREFIX.find(([prefix]) => code.startsWith(prefix))?.[1] ??
    (retryable ? EXIT_UNREACHABLE : EXIT_FAILED)
  );
}

// The error table of access to the administration and of tokens.
import { defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const AUTH_ERRORS = {
  unauthenticated: {
    status: 401,
    text: 'The request carries no valid API token: {found}.',
    hint: 'Send "Authorization: Bearer qg_...". The first administrator\'s token lies in the file administrator-token in the data folder of Central.',
  },
  too_many_attempts: {
    status: 429,
    text: 'This secret is wrong, and too many wrong ones from {block} wait for their answer already.',
    hint: 'Wait a few seconds, then send the right token, code or proof: the right one is never slowed down. See "queuegate incidents list" for who guesses.',
  },
  forbidden: { status: 403, text: 'This needs the role {needed}; the token "{name}" has the role {role}.', hint: 'Ask an administrator for a token with that role ("queuegate tokens create --role {needed}").' },
} as const satisfies ErrorTable;

export const authFault = defineErrors(AUTH_ERRORS);

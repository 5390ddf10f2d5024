// The error tables of access to the administration and of tokens, and of places that an address may not take.
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
  forbidden: {
    status: 403,
    text: 'This needs the role {needed}; the token "{name}" has the role {role}.',
    hint: 'Ask an administrator for a token with that role ("queuegate api-tokens create --role {needed}").',
  },
} as const satisfies ErrorTable;

export const authFault = defineErrors(AUTH_ERRORS);

/** Why a connection that is not yet welcomed got or kept no place; in the record of handshake failures, where an agent reads `busy`. */
export const PLACE_ERRORS = {
  places_full: {
    status: 503,
    text: 'All {limit} places for connections that are not yet welcomed are taken.',
    hint: 'Look for the addresses that hold them ("queuegate handshake-failures list"), and block those in the firewall; or raise agents.max if so many agents connect at once.',
  },
  address_share_full: {
    status: 503,
    text: 'Over half of the {limit} places for connections that are not yet welcomed are taken, and this address has its share of {share}.',
    hint: 'If agents behind one proxy share this address, let the proxy forward theirs (parameter websocket.trustedProxies); else find out what opens so many connections there.',
  },
  place_given_up: {
    status: 503,
    text: 'A silent connection was closed because another one needed its place: {limit} are taken, and most of them by this address.',
    hint: 'Agents retry automatically. If it goes on, block in the firewall what holds silent connections from this address.',
  },
} as const satisfies ErrorTable;

export const placeFault = defineErrors(PLACE_ERRORS);

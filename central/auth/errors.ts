// The errors of access to the administration, of tokens, and of places for connections.
import { defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const AUTH_ERRORS = {
  unauthenticated: {
    status: 401,
    text: 'The request has no valid API token: {found}.',
    hint: 'Send "Authorization: Bearer qg_...", or sign in again in a browser. The first administrator\'s token is in the file administrator-token in the data folder of Central. If every token is lost, run "queuegate-central create-administrator-token" on its host.',
  },
  too_many_attempts: {
    status: 429,
    text: 'Wrong {secret}; too many answers to wrong secrets from {block} are already delayed.',
    hint: 'Wait a few seconds, then send the right token, code or proof, which is never delayed. "queuegate incidents list" shows who guesses.',
  },
  forbidden: {
    status: 403,
    text: 'This requires the role {needed}; the token "{name}" has the role {role}.',
    hint: 'Ask an administrator for a token with that role ("queuegate api-tokens create --role {needed}").',
  },
  scope_too_narrow: {
    status: 403,
    text: 'This requires {needed}; the token "{name}" has the scope {scope}.',
    hint: 'Ask an administrator whose token has no scope, or for a token with a wider scope ("queuegate api-tokens create --scope SELECTOR"; without --scope it is for all agents).',
  },
  too_many_sign_ins: {
    status: 429,
    text: '"{name}" signed in {count} times within an hour; more is not accepted.',
    hint: 'Keep the cookie of a sign-in instead of signing in again. Programs need none: they send the API token in Authorization.',
  },
  csrf_required: {
    status: 403,
    text: 'The request has the cookie of a browser and may come from another site: {found}.',
    hint: 'Send "Queuegate-CSRF: 1" with each request that changes something, from a page of Central itself (Sec-Fetch-Site: same-origin, which browsers send). Programs send an API token in Authorization instead of the cookie.',
  },
  address_denied: {
    status: 403,
    text: 'Requests from the address {address} are not accepted: {rule} does not allow it.',
    hint: 'Send it from an address that is allowed. On the host of Central, "queuegate parameters set" changes the parameters {rule}.allow and {rule}.deny.',
  },
} as const satisfies ErrorTable;

export const authFault = defineErrors(AUTH_ERRORS);

/**
 * Why a connection got no place before its welcome, or lost it. Recorded as a handshake failure; the agent gets `busy`.
 */
export const PLACE_ERRORS = {
  places_full: {
    status: 503,
    text: 'All {limit} places for connections that are not yet welcomed are taken.',
    hint: 'Find the addresses that hold them ("queuegate handshake-failures list") and block them in the firewall; or raise agents.max if so many agents connect at once.',
  },
  descriptors_full: {
    status: 503,
    text: 'The {limit} file descriptors for sessions of agents are in use; the limit of open files of Central is {openFiles}.',
    hint: 'Raise the limit above twice agents.max ({maxAgents}) plus 200: LimitNOFILE= in the unit of the service, or ulimit -n before the start. Then restart Central.',
  },
  address_share_full: {
    status: 503,
    text: 'Over half of the {limit} places for connections that are not yet welcomed are taken, and this address holds its share of {share}.',
    hint: 'If agents behind one proxy share this address, let the proxy forward theirs (parameter websocket.trustedProxies). Otherwise find out what opens so many connections there.',
  },
  place_given_up: {
    status: 503,
    text: 'A silent connection was closed because a new one needed its place: {limit} are taken, most of them by this address.',
    hint: 'Agents retry automatically. If it continues, block in the firewall what holds silent connections from this address.',
  },
} as const satisfies ErrorTable;

export const placeFault = defineErrors(PLACE_ERRORS);

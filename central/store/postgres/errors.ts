// The errors of the store in PostgreSQL, and which of PostgreSQL's mean that a call may be made again.
import { defineErrors, type ErrorDefinition } from '../../../shared/errors.ts';

export const POSTGRES_ERRORS = {
  store_away_unknown: {
    status: 503,
    retryable: true,
    text: 'PostgreSQL did not answer while this was carried out: {found}.',
    hint: 'Whether it was carried out is known when PostgreSQL answers again: look at the resource before you repeat the request, or repeat it with the same Idempotency-Key.',
  },
  store_url_invalid: {
    text: 'store.url is not a URL of PostgreSQL: {found}.',
    hint: 'Set it as postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full, in central.conf and not as a flag. Several hosts are separated by commas.',
  },
  store_not_postgresql: {
    text: 'The database at {host} is not PostgreSQL 14 or newer: {found}.',
    hint: 'Use PostgreSQL 14 or newer itself. Other engines that speak its protocol lack the locks that Central needs.',
  },
  store_unreachable: {
    text: 'PostgreSQL at {host} cannot be used: {found}.',
    hint: 'Check store.url, that PostgreSQL runs there, and that the account may connect to that database and create tables in it.',
  },
  store_schema_newer: {
    text: 'The database at {host} was written by a newer version (its schema is {found}; this version supports up to {known}).',
    hint: 'Start the newer version on this node: nodes are upgraded, and not downgraded, one after the other.',
  },
  node_taken: {
    text: 'Another process works as the node {name}: it was started at {since} and was heard of less than {seconds} seconds ago.',
    hint: 'Set another node.name here, or stop that process first.',
  },
  node_fenced: {
    text: 'This process was given up as the node {name}: another one has taken its place, or it was silent for more than {seconds} seconds.',
    hint: 'Nothing it writes counts any more; it starts again by itself where a service manager runs it. If it comes back often, look at the load of this host and at the connection to PostgreSQL.',
  },
} as const satisfies Record<string, ErrorDefinition>;

export const postgresFault = defineErrors(POSTGRES_ERRORS);

/**
 * SQLSTATEs after which nothing was changed and the same may be tried again: on another connection, since this one may
 * be one to a server that stops or has become a standby. Deadlock, lock timeout, serialization; read only; too many
 * connections and out of resources; shutting down, starting, disconnected; idle in a transaction; no space, I/O errors.
 */
const AGAIN = /^(?:40|55P03|25006|25P03|53|57P|57014|08|58|XX)/;

export function mayTryAgain(sqlState: string): boolean {
  return AGAIN.test(sqlState);
}

/** Poolers say so when their connection to the server ended: what was on its way may have been carried out. */
export function isUnknown(sqlState: string): boolean {
  return sqlState.startsWith('08');
}

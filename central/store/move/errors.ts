// The errors of moving an embedded store into PostgreSQL (queuegate-central migrate-store). Nothing was moved behind any
// of them, but for the last one.
import { defineErrors, type ErrorTable } from '../../../shared/errors.ts';

export const MOVE_ERRORS = {
  store_url_missing: {
    text: 'store.url is not set: there is no database to move the store into.',
    hint: 'Set store.url=postgres://USER:PASSWORD@HOST:5432/DATABASE in central.conf, and name that file with --config.',
  },
  store_not_empty: {
    text: 'The database at {host} is not empty: it has {found}.',
    hint: 'Create another database for the store, or drop and create this one.',
  },
  store_moved_already: {
    text: 'The store of {folder} was moved into PostgreSQL before: it is kept as {before}.',
    hint: 'Start Central with store.url. To move that store once more, give it the name central.db again, and use an empty database.',
  },
  store_used_since: {
    text: 'The store was moved into the database at {host} before, and was used in {folder} since: {found}.',
    hint: 'Decide which of both goes on. The one in PostgreSQL: rename central.db in the data folder, and start Central with store.url. The one in the data folder: move it into another, empty database. What the other one has is not in it.',
  },
  store_move_failed: {
    text: 'The store could not be moved: {found} ({where}).',
    hint: 'Nothing is changed in the database, and the store in the data folder is as it was. Repair what the error names, and run the command again.',
  },
  store_move_differs: {
    text: 'The table {table} is not in PostgreSQL as it is in the embedded store: {found}.',
    hint: 'Nothing is changed in the database. Run the command again; if it says so again, keep the data folder and report it.',
  },
  store_move_unknown: {
    text: 'PostgreSQL did not answer the commit at the end: {found}.',
    hint: 'Run the command again: it finds out whether the store was moved, and completes the move or repeats it.',
  },
} as const satisfies ErrorTable;

export const moveFault = defineErrors(MOVE_ERRORS);

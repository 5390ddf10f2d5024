// The options of every command, and what their values mean.
import type { CommandOption } from '../command.ts';

export const GLOBAL_OPTIONS = {
  context: {
    type: 'string',
    value: 'NAME',
    doc: 'the Central to use (QUEUEGATE_CONTEXT); else the current one of "queuegate contexts list"',
  },
  url: {
    type: 'string',
    value: 'URL',
    doc: 'https://HOST:8443, where Central is on another host (QUEUEGATE_URL); else its socket in the data folder',
  },
  'ca-file': { type: 'string', value: 'FILE', doc: 'PEM file of the root to trust (QUEUEGATE_CA_FILE)' },
  'token-file': {
    type: 'string',
    value: 'FILE',
    doc: 'file with the API token (QUEUEGATE_TOKEN_FILE; or the token itself in QUEUEGATE_TOKEN)',
  },
  output: {
    type: 'string',
    short: 'o',
    value: 'FORMAT',
    doc: 'table, wide (nothing is cut), json (the answer of REST), ndjson (one line for each item) or name (QUEUEGATE_OUTPUT)',
  },
  json: { type: 'boolean', doc: '-o json' },
  wide: { type: 'boolean', doc: '-o wide' },
  'no-color': { type: 'boolean', doc: 'no color on a terminal either (NO_COLOR)' },
  timeout: { type: 'string', value: 'DURATION', doc: 'how long to wait for an answer, such as 30s; 90s unless set' },
  verbose: { type: 'boolean', short: 'v', doc: 'each request with its status and id on the standard error' },
  quiet: { type: 'boolean', short: 'q', doc: 'only the answer, no notices' },
} as const satisfies Readonly<Record<string, CommandOption>>;

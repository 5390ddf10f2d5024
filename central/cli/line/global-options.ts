// The options of every command, and what their values mean.
import type { CommandOption } from '../command.ts';

export const COMMON = {
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
  json: { type: 'boolean', doc: 'the answer as JSON' },
} as const satisfies Readonly<Record<string, CommandOption>>;

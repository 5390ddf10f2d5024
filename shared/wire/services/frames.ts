// What an agent says about the services of its host that Central may reach. Requests to them are streams
// (shared/session/streams/).
import type { JsonSchema, Static } from '../json-schema.ts';

const MAX_SERVICES = 64;
const name = { type: 'string', minLength: 1, maxLength: 32, pattern: '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$' } as const;
const method = { type: 'string', minLength: 1, maxLength: 16, pattern: '^[A-Z]+$' } as const;
const path = { type: 'string', minLength: 1, maxLength: 1024, pattern: '^/' } as const;

/** The services of the profile, once after each welcome and when the configuration was read again. */
export const SERVICES = {
  type: 'object',
  required: ['type', 'services'],
  properties: {
    type: { const: 'services' },
    services: {
      type: 'array',
      maxItems: MAX_SERVICES,
      items: {
        type: 'object',
        required: ['name', 'methods', 'paths'],
        properties: {
          name,
          methods: { type: 'array', maxItems: 16, items: method },
          /** Null: more than the frame has room for. */
          paths: { anyOf: [{ type: 'null' }, { type: 'array', maxItems: 32, items: path }] },
          /** The role that a caller needs for a WebSocket; an agent that does not say it is older. */
          upgrade: { enum: ['operator', 'viewer'] },
        },
      },
    },
  },
} as const satisfies JsonSchema;
/** The largest such frame. */
export const MAX_SERVICES_BYTES = 32 * 1024;

export type ServicesReport = Static<typeof SERVICES>;

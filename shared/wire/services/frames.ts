// What an agent says about the services of its host that Central may reach. Requests to them are streams
// (shared/session/streams/).
import { MAX_DEVICE_NAMES } from '../devices/frames.ts';
import type { JsonSchema, Static } from '../json-schema.ts';

const MAX_SERVICES = 64;
const name = { type: 'string', minLength: 1, maxLength: 32, pattern: '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$' } as const;
const method = { type: 'string', minLength: 1, maxLength: 16, pattern: '^[A-Z]+$' } as const;
const path = { type: 'string', minLength: 1, maxLength: 1024, pattern: '^/' } as const;

/** RFC 3339 in UTC with three decimals. */
const instant = {
  type: 'string',
  minLength: 24,
  maxLength: 24,
  pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$',
} as const;
/** Of the port for devices, as it was last; null: it is off. An agent that does not say it is older. */
const DEVICE_PORT = {
  anyOf: [
    { type: 'null' },
    {
      type: 'object',
      required: ['listenPort', 'state', 'names', 'notAfter', 'clientCertificates', 'connectionCount'],
      properties: {
        listenPort: { type: 'integer', minimum: 1, maximum: 65_535 },
        state: { enum: ['open', 'closed'] },
        /** In its certificate. */
        names: {
          type: 'array',
          maxItems: MAX_DEVICE_NAMES,
          items: { type: 'string', minLength: 1, maxLength: 253 },
        },
        /** The end of its certificate; null: it has none. */
        notAfter: { anyOf: [{ type: 'null' }, instant] },
        clientCertificates: { type: 'boolean' },
        /** Devices that are connected. */
        connectionCount: { type: 'integer', minimum: 0, maximum: 1_000_000 },
      },
    },
  ],
} as const satisfies JsonSchema;

/** The services of the profile, once after each welcome when the configuration was read again, and when the port for
 * devices changed. */
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
    devicePort: DEVICE_PORT,
  },
} as const satisfies JsonSchema;
/** The largest such frame. */
export const MAX_SERVICES_BYTES = 32 * 1024;

export type ServicesReport = Static<typeof SERVICES>;
export type DevicePortReport = Static<typeof DEVICE_PORT>;

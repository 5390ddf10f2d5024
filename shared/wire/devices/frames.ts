// How an agent gets the certificate of its port for devices, over its session. The agent makes the key; Central decides
// which names it may have.
import type { JsonSchema, Static } from '../json-schema.ts';

/** An agent without it never asks. An older Central ignores the request, and the agent says so in its status. */
export const DEVICES_CAPABILITY = 'devices.1';

/** Host names and addresses of one certificate. */
export const MAX_DEVICE_NAMES = 32;
const line = { type: 'string', maxLength: 1024 } as const;

/** One at a time: each is answered. */
export const DEVICE_REQUEST = {
  type: 'object',
  required: ['type', 'csr', 'names'],
  properties: {
    type: { const: 'device-request' },
    /** PKCS#10, PEM, by the key of the port. Names in it do not count. */
    csr: { type: 'string', minLength: 64, maxLength: 8192 },
    /** Host names, and addresses without brackets. */
    names: {
      type: 'array',
      maxItems: MAX_DEVICE_NAMES,
      items: { type: 'string', minLength: 1, maxLength: 253 },
    },
  },
} as const satisfies JsonSchema;

/** The certificate and the intermediates up to the root, PEM. */
const DEVICE_ISSUED = {
  type: 'object',
  required: ['type', 'pem'],
  properties: { type: { const: 'device-issued' }, pem: { type: 'string', minLength: 64, maxLength: 65_536 } },
} as const satisfies JsonSchema;

const DEVICE_REFUSED = {
  type: 'object',
  required: ['type', 'code', 'detail', 'hint'],
  properties: {
    type: { const: 'device-refused' },
    code: { type: 'string', minLength: 1, maxLength: 64 },
    detail: line,
    hint: line,
  },
} as const satisfies JsonSchema;

/** By type. */
export const DEVICE_ANSWERS = { 'device-issued': DEVICE_ISSUED, 'device-refused': DEVICE_REFUSED } as const;

export type DeviceRequest = Static<typeof DEVICE_REQUEST>;
export type DeviceAnswer = Static<typeof DEVICE_ISSUED> | Static<typeof DEVICE_REFUSED>;

// What the reasons of dead letters mean: the code that a client looks up, and the side that gave the message up.
import { expect, it } from 'vitest';
import { causeOf, EXPIRED, EXPIRED_AT_AGENT, ID_REUSED, placeOf } from '../../../shared/delivery/dead-letters.ts';

it.each([
  [EXPIRED, { code: 'message_expired', detail: null }],
  [EXPIRED_AT_AGENT, { code: 'message_expired', detail: null }],
  [ID_REUSED, { code: 'id_reused', detail: null }],
  ['/type is missing', { code: 'message_invalid', detail: '/type is missing' }],
])('the reason "%s" has its code; only a fault has more to say', (reason, cause) => {
  expect(causeOf(reason)).toEqual(cause);
});

it.each([
  ['down', EXPIRED, 'central'],
  ['down', EXPIRED_AT_AGENT, 'agent'],
  ['down', '/type is missing', 'central'],
  ['up', EXPIRED, 'agent'],
  ['up', ID_REUSED, 'central'],
  ['up', '/type is missing', 'central'],
] as const)('a message %s with the reason "%s" was given up at %s', (direction, reason, place) => {
  expect(placeOf({ direction, reason })).toBe(place);
});

// The words in which a log keeps why it gave a message up, and the code that they are shown as.
import { expect, it } from 'vitest';
import { causeOf, EXPIRED, ID_REUSED } from '../../../shared/delivery/dead-letters.ts';

it('a dead letter has a code, and a detail where the code does not say everything', () => {
  // Stores keep these words.
  expect([EXPIRED, ID_REUSED]).toEqual(['expired', 'id_reused']);
  expect(causeOf('expired')).toEqual({ code: 'message_expired', detail: null });
  expect(causeOf('id_reused')).toEqual({ code: 'id_reused', detail: null });
  expect(causeOf('/type is 7')).toEqual({ code: 'message_invalid', detail: '/type is 7' });
});

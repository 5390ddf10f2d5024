// The errors of messages that a producer hands over, at Central's REST and at the agent's local API alike.
import { defineErrors, type ErrorTable } from '../errors.ts';

export const MESSAGE_ERRORS = {
  body_not_utf8: {
    status: 400,
    text: 'The body is not UTF-8: at byte {offset} it has {found}.',
    hint: 'Encode the body in UTF-8 (RFC 8259 section 8.1), without a byte order mark. Nothing of it was stored.',
  },
  message_expired: {
    status: 400,
    text: 'The message at "{pointer}" expired at {found}; it is {now} now.',
    hint: 'Set expirytime to a future time, or leave it out; check the clock of the producer. Nothing of the request was stored.',
  },
  message_withdrawn: {
    status: 409,
    text: 'The command was withdrawn before it was sent to its agent.',
    hint: 'Send it again under another id if it is needed after all.',
  },
  message_invalid: {
    status: 400,
    text: 'Not a CloudEvents 1.0 event: {found}.',
    hint: 'Correct the program that sent it; the dead letter holds its text.',
  },
  id_reused: {
    status: 409,
    text: 'The id {id} of the source {source} belongs to an earlier message with other data (index in the request: {indexes}).',
    hint: 'Use a new id for each message; repeat a message with unchanged data. Nothing of the request was stored.',
  },
} as const satisfies ErrorTable;

export const messageFault = defineErrors(MESSAGE_ERRORS);

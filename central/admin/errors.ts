// The error table of the administration's REST (what any HTTP listener may answer is in central/listeners/errors.ts),
// and the answer that names several faults of one request.
import { defineErrors, DetailedError, type ErrorTable, type ProblemEntry } from '../../shared/errors.ts';

export const ADMIN_ERRORS = {
  request_invalid: {
    status: 400,
    text: 'The request has {count} and was not carried out.',
    hint: 'Correct what is listed and send it again.',
  },
  not_acceptable: {
    status: 406,
    text: 'The header Accept allows no media type of this route; allowed: {allowed}.',
    hint: 'Send one of these in Accept, or leave Accept out.',
  },
  cursor_invalid: {
    status: 400,
    text: 'The cursor in "after" does not belong to this list.',
    hint: 'Send the "next" of an earlier answer unchanged, with the same filters; leave "after" out to begin again.',
  },
  cursor_ahead: {
    status: 410,
    text: 'The events through the cursor {after} are not in the store of Central any more: it was set back to an older backup.',
    hint: 'Continue from the cursor {resumeAfter} (resumeAfter): what was read behind it is gone at Central, or comes again. "oldest" shows what is still there.',
  },
  cursor_expired: {
    status: 410,
    text: 'Events after the cursor {after} were deleted, because they were older than events.retentionDays.',
    hint: 'Continue from the cursor {resumeAfter} (resumeAfter): the events between the two are gone. Read more often, or raise events.retentionDays.',
  },
  idempotency_key_reused: {
    status: 422,
    text: 'The Idempotency-Key {key} was sent with another request within the last 24 hours. This one was not carried out.',
    hint: 'Send each request that creates with a key of its own, such as a UUID; send the same URL and body again only to repeat it.',
  },
  idempotency_key_in_progress: {
    status: 409,
    retryable: true,
    text: 'The first request with the Idempotency-Key {key} is still in progress.',
    hint: 'Send it again in a few seconds.',
  },
  idempotency_answer_lost: {
    status: 409,
    text: 'The answer to the first request with the Idempotency-Key {key} is not known: {found}. It was not carried out a second time.',
    hint: 'Look up whether what it creates is there. If it is not, send it with a new key.',
  },
  too_many_waiting: {
    status: 503,
    text: '{count} requests wait for events already; that is as many as Central keeps.',
    hint: 'Ask again later, or without waitSeconds.',
  },
  too_many_in_progress: {
    status: 429,
    text: 'This API token has {count} requests in progress; allowed: {allowed}.',
    hint: 'Wait for answers before you send more requests, and give each program an API token of its own.',
  },
  too_much_in_progress: {
    status: 503,
    text: 'The bodies of requests in progress have {held} bytes, and this one may have {bytes}; allowed: {ofToken} of one API token, {inAll} of all.',
    hint: 'Send it again when earlier requests are answered. Name the length of a body (Content-Length): without it the largest allowed counts.',
  },
} as const satisfies ErrorTable;

export const adminFault = defineErrors(ADMIN_ERRORS);

/** `request_invalid` with every faulty place. */
export function requestInvalid(entries: readonly ProblemEntry[]): DetailedError {
  const count = entries.length === 1 ? 'a fault' : `${entries.length} faults`;
  return new DetailedError(adminFault('request_invalid', { count }), { entries });
}

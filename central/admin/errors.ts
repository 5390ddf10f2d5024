// The error table of the administration's HTTP, and the answer that names several faults of one request.
import { CodedError, defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const ADMIN_ERRORS = {
  not_found: { status: 404, text: 'There is nothing at {path}.', hint: 'The paths of the API begin with /api/v1; docs/REST.md lists them.' },
  method_not_allowed: { status: 405, text: '{path} does not know {method}; it knows {allowed}.', hint: 'Use one of the methods in the header Allow.' },
  request_invalid: { status: 400, text: 'The request has {count} and was not carried out.', hint: 'Mend what is listed and send it again.' },
  json_unparseable: { status: 400, text: 'The body is no JSON: {found}.', hint: 'Send JSON in UTF-8, with the header Content-Type: application/json.' },
  content_type_unsupported: { status: 415, text: 'The content type {found} is not known here.', hint: 'Send application/json; for messages also application/cloudevents+json and application/cloudevents-batch+json.' },
  body_too_large: { status: 413, text: 'The body is larger than this path takes ({maxBytes} bytes).', hint: 'Send less at once: several requests, or smaller messages.' },
  cursor_ahead: {
    status: 410,
    text: 'The cursor {after} is ahead of the newest event, which is {newest}.',
    hint: 'Central was set back to an older backup. Begin again from the cursor {newest}, or from 0 to see what is still there.',
  },
  too_many_waiting: { status: 503, text: '{count} requests wait for events already; that is as many as Central keeps.', hint: 'Ask again later, or without waitSeconds.' },
  request_failed: { status: 500, text: 'Central could not carry out this request.', hint: 'Look at the log of Central at this time.' },
} as const satisfies ErrorTable;

export const adminFault = defineErrors(ADMIN_ERRORS);

/** One thing that is wrong with a request: where (JSON Pointer, or the name of a query parameter) and what. */
export interface RequestFault {
  readonly place: string;
  readonly text: string;
}

export class RequestFaults extends CodedError {
  readonly errors: readonly RequestFault[];

  constructor(errors: readonly RequestFault[]) {
    super('request_invalid', ADMIN_ERRORS.request_invalid, { count: errors.length === 1 ? 'a fault' : `${errors.length} faults` });
    this.errors = errors;
  }
}

// Makes the problem documents (RFC 9457) that every HTTP listener of both programs answers errors with.
import { randomUUID } from 'node:crypto';
import { titleOf, type CodedError } from '../errors.ts';

export const PROBLEM_TYPE = 'application/problem+json';
/**
 * The header of every answer, refusals of Node.js included; `instance` of a problem document and the log name it too.
 */
export const REQUEST_ID_HEADER = 'queuegate-request-id';

/** A client does not get a list as long as what it sent. */
const MAX_ENTRIES = 20;
const MAX_FOUND = 64;
/** Members and parameters that may hold a secret, or a file: what was found there is not repeated. */
const SECRET = /password|secret|token|code|key|csr|pem|file|content|data/i;

export function newRequestId(): string {
  return randomUUID();
}

/** The document of an error, for the request with this id. */
export function problemOf(error: CodedError, requestId: string): Readonly<Record<string, unknown>> {
  const { entries, members } = error.problem;
  return {
    type: `urn:queuegate:error:${error.code}`,
    code: error.code,
    title: titleOf(error.code),
    status: error.status,
    detail: error.message,
    hint: error.hint,
    instance: `urn:uuid:${requestId}`,
    ...(entries === undefined ? {} : { errors: entries.slice(0, MAX_ENTRIES), errorCount: entries.length }),
    ...members,
  };
}

/** The `pointer` of a member: a JSON pointer (RFC 6901) as a URI fragment; '' is the whole body. */
export function pointerTo(jsonPointer: string): string {
  return `#${encodeURI(jsonPointer.slice(0, 256).toWellFormed()).replaceAll('#', '%23')}`;
}

/** What was found at a place, for `found`: short, and null where it is not a plain value or may be a secret. */
export function foundAt(place: string, value: unknown): string | null {
  if (SECRET.test(place) || !['string', 'number', 'boolean'].includes(typeof value)) return null;
  // A key in the wrong member is a secret, whatever that member is called.
  if (String(value).includes('-----BEGIN ')) return null;
  return String(value).toWellFormed().slice(0, MAX_FOUND);
}

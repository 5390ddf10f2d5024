// Reads If-Match: the version that a change was made for (RFC 9110 section 13.1.1).
import type { FastifyRequest } from 'fastify';
import { requestInvalid } from '../errors.ts';

/**
 * The version in the ETag; undefined when there is none, or any will do. `what`: the resource. Errors: request_invalid.
 */
export function ifMatchOf(request: FastifyRequest, what: string): number | undefined {
  const header = request.headers['if-match'];
  if (header === undefined || header.trim() === '*') return undefined;
  const [, version] = /^(?:W\/)?"(\d{1,15})"$/.exec(header.trim()) ?? [];
  if (version === undefined)
    throw requestInvalid([
      {
        header: 'If-Match',
        detail: `If-Match is not an ETag of ${what}; allowed: the ETag of an earlier answer, such as "12".`,
        allowed: null,
        found: header.slice(0, 64),
      },
    ]);
  return Number(version);
}

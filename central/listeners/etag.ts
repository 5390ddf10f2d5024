// Compares entity tags: If-None-Match of a request against the present tag (RFC 9110 section 13.1.2).
import type { FastifyReply } from 'fastify';

/** Sets the tag; true: the client has this representation already, and gets 304. */
export function isKnown(reply: FastifyReply, tag: string): boolean {
  void reply.header('etag', tag);
  const known = reply.request.headers['if-none-match']?.split(',').map((each) => each.trim().replace(/^W\//, ''));
  return known?.some((each) => each === tag || each === '*') === true;
}

// Requests that a page of another site makes a browser send. The cookie is SameSite=Strict, so that browsers leave it
// out there; this refuses what they might send all the same, and requests from other ports and subdomains of the host.
import type { FastifyRequest } from 'fastify';
import { authFault } from '../../auth/errors.ts';

const CSRF_HEADER = 'Queuegate-CSRF';
const SITE_HEADER = 'Sec-Fetch-Site';
/** An address that was typed, or a bookmark: no page caused it. */
const BY_THE_USER = 'none';
const SAME = 'same-origin';

const readOnly = new Set(['GET', 'HEAD']);

/**
 * Of a request with the cookie. What changes something needs both headers; what reads is refused where a page of
 * another origin caused it (Fetch Metadata: browsers send the header to HTTPS and to loopback). Errors: csrf_required.
 */
export function assertOwnPage({ method, headers }: FastifyRequest): void {
  const site = headers['sec-fetch-site'];
  if (readOnly.has(method)) {
    if (site !== undefined && site !== SAME && site !== BY_THE_USER) throw refusal(siteText(site));
    return;
  }
  if (site !== SAME) throw refusal(siteText(site));
  if (headers[CSRF_HEADER.toLowerCase()] !== '1') throw refusal(`${CSRF_HEADER} is missing, or is not 1`);
}

/**
 * Of a sign-in, which needs no cookie: no other page signs a browser in as somebody else. Errors: csrf_required.
 */
export function assertNotOtherPage({ headers }: FastifyRequest): void {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== SAME) throw refusal(siteText(site));
}

function siteText(site: string | string[] | undefined): string {
  return site === undefined ? `${SITE_HEADER} is missing` : `${SITE_HEADER} is ${String(site).slice(0, 32)}`;
}

function refusal(found: string) {
  return authFault('csrf_required', { found });
}

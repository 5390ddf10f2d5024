// Checks a caller's request and makes the OPEN of its stream. What two programs could read in two ways is refused with
// 400: the caller, Central, the agent and the service are four of them.
import type { IncomingMessage } from 'node:http';
import type { CodedError } from '../../shared/errors.ts';
import {
  endToEnd,
  fieldsOf,
  isBelow,
  pathOf,
  SERVICE_METHODS,
  targetFault,
  type HeaderFields,
} from '../../shared/http/service-path.ts';
import type { CallerRole } from '../store/services/exposure-store.ts';
import { serviceFault } from './errors.ts';

/** Another user of streams has another kind. */
export interface ServiceOpen {
  readonly kind: 'http';
  readonly service: string;
  readonly method: string;
  readonly target: string;
  readonly headers: HeaderFields;
  /** Null: unknown, it ends with the stream. */
  readonly bodyBytes: number | null;
}

/** The request for a WebSocket: GET without a body. What follows is the data of the stream. */
export interface UpgradeOpen extends Pick<ServiceOpen, 'service' | 'target' | 'headers'> {
  readonly kind: 'upgrade';
  /** Of the caller: the branch decides which one it takes. */
  readonly role: CallerRole;
}

/** What a caller must not set: Central says it. `_` and `-` are the same to some servers. */
const FORWARDED = /^(?:x-forwarded(?:-.*)?|forwarded|x-real-ip|proxy|queuegate-.*|authorization)$/;
const FORWARD_AUTHORIZATION = 'queuegate-forward-authorization';
/** Cookies of the dashboard: browsers send them to each port of the host (RFC 6265 section 8.5). */
const OWN_COOKIE = /^(?:__host-)?queuegate$/i;
/** For all ports of Central, or for the browser itself: a service must not decide that. */
const WITHHELD = new Set(['strict-transport-security', 'alt-svc', 'clear-site-data', 'public-key-pins']);

/** The reason for which a request is refused before it is known who sends it; undefined: there is none. */
export function requestFault(request: IncomingMessage): CodedError | undefined {
  const found = smugglingIn(request) ?? targetFault(request.url ?? '');
  if (found !== undefined) return serviceFault('service_request_invalid', { found });
  const method = request.method ?? '';
  return SERVICE_METHODS.some((known) => known === method)
    ? undefined
    : serviceFault('service_method_denied', { method: method.slice(0, 32) });
}

/**
 * The same for a request for a WebSocket. Browsers let every page open one and read it, from the address and with the
 * certificate of its reader: only pages of the service itself may. Programs send no Origin.
 */
export function upgradeFault(request: IncomingMessage): CodedError | undefined {
  const { headers } = request;
  const fault = requestFault(request);
  if (fault !== undefined) return fault;
  const { origin } = headers;
  return origin === undefined || origin.toLowerCase() === `https://${headers.host?.toLowerCase()}`
    ? undefined
    : serviceFault('service_origin_denied', { origin: origin.slice(0, 256) });
}

function smugglingIn({ rawHeaders, httpVersion }: IncomingMessage): string | undefined {
  if (httpVersion !== '1.1') return `HTTP/${httpVersion}; allowed: HTTP/1.1`;
  const fields = fieldsOf(rawHeaders);
  const valuesOf = (name: string): string[] =>
    fields.filter(([found]) => found.toLowerCase() === name).map(([, value]) => value);
  const [hosts, lengths, codings] = [valuesOf('host'), valuesOf('content-length'), valuesOf('transfer-encoding')];
  if (hosts.length !== 1) return `${hosts.length} Host headers`;
  if (!/^[\w.:[\]-]{1,255}$/.test(hosts[0] ?? '')) return 'a Host header that is not a host';
  if (lengths.length > 1) return `${lengths.length} headers Content-Length`;
  if (lengths.length > 0 && codings.length > 0) return 'Content-Length and Transfer-Encoding together';
  if (lengths.length > 0 && !/^\d{1,15}$/.test(lengths[0] ?? '')) return 'a Content-Length that is not a number';
  if (codings.length > 1 || (codings.length === 1 && codings[0]?.toLowerCase() !== 'chunked'))
    return 'a Transfer-Encoding other than chunked';
  return undefined;
}

/** What a request is for, and where it comes from. */
interface CallTo {
  readonly service: string;
  readonly target: string;
  /** What the caller has in front of the target; empty: nothing. */
  readonly prefix: string;
  readonly address: string;
}

/** The head of the stream of a request that `requestFault` has let through. */
export function openOf(request: IncomingMessage, { service, target, prefix, address }: CallTo): ServiceOpen {
  const { headers, method = '' } = request;
  return {
    kind: 'http',
    service,
    method,
    target,
    headers: passedFields(request, { prefix, address }),
    bodyBytes: headers['transfer-encoding'] === undefined ? Number(headers['content-length'] ?? 0) : null,
  };
}

/** The same of a request that `upgradeFault` has let through. */
export function upgradeOf(
  request: IncomingMessage,
  { service, target, prefix, address, role }: CallTo & { readonly role: CallerRole },
): UpgradeOpen {
  return { kind: 'upgrade', service, target, headers: passedFields(request, { prefix, address }), role };
}

function passedFields(
  { rawHeaders, headers }: IncomingMessage,
  { prefix, address }: Pick<CallTo, 'prefix' | 'address'>,
): HeaderFields {
  const forwarded: (readonly [string, string])[] = [
    ['X-Forwarded-For', address],
    ['X-Forwarded-Proto', 'https'],
    ['X-Forwarded-Host', headers.host ?? ''],
  ];
  if (prefix !== '') forwarded.push(['X-Forwarded-Prefix', prefix]);
  const authorization = headers[FORWARD_AUTHORIZATION];
  if (typeof authorization === 'string') forwarded.push(['Authorization', authorization]);
  return [...endToEnd(fieldsOf(rawHeaders)).flatMap(passed), ...forwarded];
}

function passed([name, value]: readonly [string, string]): HeaderFields {
  const known = name.toLowerCase().replaceAll('_', '-');
  if (FORWARDED.test(known) || known === 'content-length') return [];
  if (known !== 'cookie') return [[name, value]];
  const rest = value.split(';').filter((cookie) => !OWN_COOKIE.test(cookie.split('=', 1)[0]?.trim() ?? ''));
  return rest.length === 0 ? [] : [[name, rest.join(';').trim()]];
}

/** The fields of an answer that callers get; `host` is the Host header of the request. */
export function answerFields(headers: HeaderFields, { prefix, host }: AnsweredTo): HeaderFields {
  const kept = endToEnd(headers).filter(([name, value]) => {
    const known = name.toLowerCase();
    return !(WITHHELD.has(known) || (known === 'set-cookie' && isOwnCookie(value)));
  });
  if (prefix === '') return kept;
  return kept
    .filter(([name]) => name.toLowerCase() !== OTHER_SCOPE)
    .map(([name, value]) => {
      const known = name.toLowerCase();
      if (known === 'location' || known === 'content-location') return [name, locationBelow(value, prefix, host)];
      return [name, known === 'set-cookie' ? cookieBelow(value, prefix) : value];
    });
}

interface AnsweredTo {
  readonly prefix: string;
  readonly host: string;
}

/** With it, the script of one service could answer requests to all others in the browsers of their readers. */
const OTHER_SCOPE = 'service-worker-allowed';

/** Paths of the service, and URLs of this port, begin with the prefix; those of other hosts stay. */
function locationBelow(location: string, prefix: string, host: string): string {
  const origin = `https://${host.toLowerCase()}`;
  const isOwn = location.toLowerCase().startsWith(origin) && /^(?:[/?#]|$)/.test(location.slice(origin.length));
  const path = isOwn ? location.slice(origin.length) : location;
  if (!isOwn && (!path.startsWith('/') || path.startsWith('//'))) return location;
  return pathBelow(path.startsWith('/') ? path : `/${path}`, prefix);
}

/** A cookie of one service is not for the others. Without a path, the browser takes that of the request. */
function cookieBelow(cookie: string, prefix: string): string {
  const [pair = '', ...attributes] = cookie.split(';');
  const below = attributes.map((attribute) => {
    const [, path] = /^\s*path\s*=\s*(\/.*)$/i.exec(attribute) ?? [];
    return path === undefined ? attribute : ` Path=${pathBelow(path.trimEnd(), prefix)}`;
  });
  return [pair, ...below].join(';');
}

/** A service that knows the prefix (X-Forwarded-Prefix) has set it already. */
function pathBelow(path: string, prefix: string): string {
  return isBelow(pathOf(path), [prefix]) ? path : `${prefix}${path}`;
}

function isOwnCookie(value: string): boolean {
  return OWN_COOKIE.test(value.split(/[=;]/, 1)[0]?.trim() ?? '');
}

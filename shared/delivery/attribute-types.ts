// The types of CloudEvents attributes (cloudevents spec v1.0.2, section 3.1.1): what a URI, a time stamp, a media type
// and base64 are. Each check is linear in the length of the text.
import { isIPv6 } from 'node:net';

/**
 * Half of a surrogate pair, control characters and noncharacters: what no String holds. A store would write each lone
 * surrogate as U+FFFD, and two ids become one.
 */
const FORBIDDEN = /[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u;

/** Most strings hold nothing else, and need no look at Unicode's classes. */
const PRINTABLE_ASCII = /^[ -~]*$/;

/** A String: any characters but those. */
export function isAttributeString(text: string): boolean {
  return PRINTABLE_ASCII.test(text) || !FORBIDDEN.test(text);
}

/** RFC 3986 appendix A: unreserved, sub-delims, ":" and "@", and percent-encoded octets. */
const PCHARS_AND_SLASHES = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*$/;
const QUERY = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*$/;
const USER_INFORMATION = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|%[0-9A-Fa-f]{2})*$/;
const REGISTERED_NAME = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/;
const PORT = /^[0-9]*$/;
const IP_FUTURE = /^[vV][0-9A-Fa-f]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+$/;

/** What most sources are: unreserved characters and slashes are a reference wherever they stand. */
const PLAIN_REFERENCE = /^[A-Za-z0-9\-._~/]+$/;

/** A URI-reference (RFC 3986 section 4.1): absolute or relative. Not empty, as CloudEvents wants a source. */
export function isUriReference(text: string): boolean {
  return PLAIN_REFERENCE.test(text) || (text !== '' && uriKind(text) !== undefined);
}

/** A URI with a scheme (RFC 3986 section 3). A fragment is allowed: schemas are often named by one. */
export function isUri(text: string): boolean {
  return uriKind(text) === 'uri';
}

function uriKind(text: string): 'uri' | 'relative' | undefined {
  const fragmentAt = text.indexOf('#');
  if (fragmentAt !== -1 && !QUERY.test(text.slice(fragmentAt + 1))) return undefined;
  const beforeFragment = fragmentAt === -1 ? text : text.slice(0, fragmentAt);
  const queryAt = beforeFragment.indexOf('?');
  if (queryAt !== -1 && !QUERY.test(beforeFragment.slice(queryAt + 1))) return undefined;
  const hierarchy = queryAt === -1 ? beforeFragment : beforeFragment.slice(0, queryAt);
  const slashAt = hierarchy.indexOf('/');
  const firstSegment = slashAt === -1 ? hierarchy : hierarchy.slice(0, slashAt);
  const colonAt = firstSegment.indexOf(':');
  // A colon in the first segment can only end a scheme: section 4.2, path-noscheme.
  if (colonAt !== -1 && !SCHEME.test(firstSegment.slice(0, colonAt))) return undefined;
  return isHierarchicalPart(hierarchy.slice(colonAt + 1)) ? (colonAt === -1 ? 'relative' : 'uri') : undefined;
}

/** The part behind the scheme: an authority and a path, or a path. */
function isHierarchicalPart(text: string): boolean {
  if (!text.startsWith('//')) return PCHARS_AND_SLASHES.test(text);
  const pathAt = text.indexOf('/', 2);
  const authority = pathAt === -1 ? text.slice(2) : text.slice(2, pathAt);
  return isAuthority(authority) && (pathAt === -1 || PCHARS_AND_SLASHES.test(text.slice(pathAt)));
}

function isAuthority(text: string): boolean {
  const userAt = text.indexOf('@');
  if (userAt !== -1 && !USER_INFORMATION.test(text.slice(0, userAt))) return false;
  const hostAndPort = text.slice(userAt + 1);
  if (!hostAndPort.startsWith('[')) {
    const portAt = hostAndPort.indexOf(':');
    if (portAt === -1) return REGISTERED_NAME.test(hostAndPort);
    return REGISTERED_NAME.test(hostAndPort.slice(0, portAt)) && PORT.test(hostAndPort.slice(portAt + 1));
  }
  const endAt = hostAndPort.indexOf(']');
  if (endAt === -1) return false;
  const literal = hostAndPort.slice(1, endAt);
  const behind = hostAndPort.slice(endAt + 1);
  // isIPv6 knows zones (RFC 6874), which RFC 3986 does not.
  const isAddress = (isIPv6(literal) && !literal.includes('%')) || IP_FUTURE.test(literal);
  return isAddress && (behind === '' || (behind.startsWith(':') && PORT.test(behind.slice(1))));
}

const TOKEN = String.raw`[!#$%&'*+\-.^_\x60{|}~0-9A-Za-z]+`;
const QUOTED_STRING = String.raw`"(?:[^"\\\p{Cc}]|\\[^\p{Cc}])*"`;
const PARAMETER = String.raw`[ \t]*;[ \t]*${TOKEN}=(?:${TOKEN}|${QUOTED_STRING})`;
/**
 * RFC 2045 section 5.1 with the blanks around ";" of RFC 9110 section 5.6.6. No part begins as the one before goes on:
 * linear.
 */
const MEDIA_TYPE = new RegExp(`^${TOKEN}/${TOKEN}(?:${PARAMETER})*$`, 'u');

export function isMediaType(text: string): boolean {
  return MEDIA_TYPE.test(text);
}

/** RFC 4648 section 4, canonical: padded, without line breaks, and no bit set that encodes nothing. */
export function isBase64(text: string): boolean {
  return text.length % 4 === 0 && Buffer.from(text, 'base64').toString('base64') === text;
}

/** RFC 3339 section 5.6. */
const TIMESTAMP = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/;
const FRACTION_AT = 19;

/**
 * Milliseconds since 1970 of an RFC 3339 time stamp; undefined for what is none, or a date that does not exist. A leap
 * second (23:59:60 UTC at the end of a month, RFC 3339 section 5.7) is the second after it, as POSIX counts. What is
 * finer than a millisecond is cut off.
 */
export function timestampMs(text: string): number | undefined {
  if (!TIMESTAMP.test(text)) return undefined;
  // Read from their places: this runs for every message.
  const [year, month, day] = [twoDigits(text, 0) * 100 + twoDigits(text, 2), twoDigits(text, 5), twoDigits(text, 8)];
  const [hour, minute, second] = [twoDigits(text, 11), twoDigits(text, 14), twoDigits(text, 17)];
  if (month < 1 || month > 12 || day < 1 || day > daysOf(year, month)) return undefined;
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  const offset = offsetMinutes(text);
  if (offset === undefined) return undefined;
  // 400 years are a whole number of days; Date.UTC takes the years 0 to 99 for those of the twentieth century.
  const local = Date.UTC(year + 400, month - 1, day, hour, minute, second, milliseconds(text)) - FOUR_CENTURIES_MS;
  const time = local - offset * 60_000;
  return second < 60 || isMonthStart(time) ? time : undefined;
}

const FOUR_CENTURIES_MS = 146_097 * 86_400_000;

function twoDigits(text: string, at: number): number {
  return (text.charCodeAt(at) - 0x30) * 10 + text.charCodeAt(at + 1) - 0x30;
}

function milliseconds(text: string): number {
  if (text[FRACTION_AT] !== '.') return 0;
  let value = 0;
  let at = FRACTION_AT + 1;
  for (let worth = 100; worth >= 1; worth /= 10, at += 1) {
    const digit = text.charCodeAt(at) - 0x30;
    if (!(digit >= 0 && digit <= 9)) break;
    value += digit * worth;
  }
  return value;
}

/** How far the local time of a time stamp is ahead of UTC. */
function offsetMinutes(text: string): number | undefined {
  const end = text.length;
  if (text.endsWith('Z') || text.endsWith('z')) return 0;
  const [hours, minutes] = [twoDigits(text, end - 5), twoDigits(text, end - 2)];
  if (hours > 23 || minutes > 59) return undefined;
  return (text[end - 6] === '-' ? -1 : 1) * (hours * 60 + minutes);
}

/** A leap second ends a month, so that the time counted behind it is in the first second of the next. */
function isMonthStart(time: number): boolean {
  const date = new Date(time);
  return (
    date.getUTCDate() === 1 && date.getUTCHours() === 0 && date.getUTCMinutes() === 0 && date.getUTCSeconds() === 0
  );
}

function daysOf(year: number, month: number): number {
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  return month === 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31;
}

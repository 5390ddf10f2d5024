// The formats of settings: which text is allowed, how that is described in one phrase, and the parsed value.
import { isIP, isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';

export interface SettingFormat<T> {
  /** Unique among formats that differ: convict keeps them by name. */
  readonly name: string;
  /** Completes "allowed: ...". */
  readonly allowed: string;
  /** The value, or undefined when the text is not allowed. */
  parse(text: string): T | undefined;
}

export interface HostPort {
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  /** Absent: the port of the transport. */
  readonly port: number | undefined;
}

const LABEL = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?';
/** RFC 1123 section 2.1. */
const HOST_NAME = new RegExp(`^(?=.{1,253}$)${LABEL}(\\.${LABEL})*$`, 'i');
/** What name servers and hosts files know beside that: underscores, and a dot behind the last label. */
const DIALED_LABEL = '[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?';
const DIALED_NAME = new RegExp(`^(?=.{1,254}$)${DIALED_LABEL}(\\.${DIALED_LABEL})*\\.?$`, 'i');
const MAX_LIST = 64;

export const yesOrNo: SettingFormat<boolean> = {
  name: 'true or false',
  allowed: 'true or false',
  parse: (text) => ({ true: true, false: false })[text.trim().toLowerCase()],
};

/** A whole number from `minimum` through `maximum`, decimal. */
export function wholeNumber(minimum: number, maximum: number): SettingFormat<number> {
  return {
    name: `whole number ${minimum}-${maximum}`,
    allowed: `a whole number from ${minimum} to ${maximum}`,
    parse: (text) => {
      const value = /^\d{1,15}$/.test(text.trim()) ? Number(text) : Number.NaN;
      return value >= minimum && value <= maximum ? value : undefined;
    },
  };
}

/** One of `words`, without regard to case. */
export function oneOf<const W extends string>(...words: W[]): SettingFormat<W> {
  return {
    name: `one of ${words.join(' ')}`,
    allowed: words.join(', '),
    parse: (text) => words.find((word) => word === text.trim().toLowerCase()),
  };
}

/** Text without control characters. */
export function text(minimum: number, maximum: number): SettingFormat<string> {
  return {
    name: `text ${minimum}-${maximum}`,
    allowed: `${minimum} to ${maximum} characters, no control characters`,
    parse: (found) =>
      found.length >= minimum && found.length <= maximum && !/\p{Cc}/u.test(found) ? found : undefined,
  };
}

/** RFC 1123, in small letters. Empty is allowed: the reader has its own default. */
export const hostName: SettingFormat<string> = {
  name: 'host name',
  allowed: 'a host name: letters, digits and dashes in parts of at most 63, separated by dots',
  parse: (found) => (found === '' || HOST_NAME.test(found.trim()) ? found.trim().toLowerCase() : undefined),
};

/** The name of a host in host-name syntax: MY_PC becomes my-pc. `fallback` where nothing is left of it. */
export function hostNameFrom(host: string, fallback: string): string {
  const name = host
    .toLowerCase()
    .replaceAll(/[^a-z0-9.-]/g, '-')
    .split('.')
    .map((label) => label.slice(0, 63).replaceAll(/^-+|-+$/g, ''))
    .filter((label) => label !== '')
    .join('.');
  return hostName.parse(name) || fallback;
}

/** Hosts in the order in which they are to be tried. */
export const hostPorts: SettingFormat<readonly HostPort[]> = {
  name: 'hosts with ports',
  allowed: `host names or addresses separated by commas, each with :port if needed, IPv6 in brackets, no "https://"; at most ${MAX_LIST}`,
  parse: (found) => listOf(found, hostPort),
};

/** An address of a host. Empty is allowed. */
export const ipAddress: SettingFormat<string> = {
  name: 'IP address',
  allowed: 'an IPv4 or IPv6 address, without brackets',
  parse: (found) => (found.trim() === '' || isIP(found.trim()) !== 0 ? found.trim().toLowerCase() : undefined),
};

/** What may be in a certificate: RFC 1123 names, and addresses. */
export const hostNames: SettingFormat<readonly string[]> = {
  name: 'host names',
  allowed:
    'host names or addresses separated by commas, without ports and wildcards, IPv6 without brackets; at most 32',
  parse: (found) => {
    const names = listOf(found, (item) => {
      const isName = HOST_NAME.test(item) && !/^[\d.]+$/.test(item);
      return isName || (isIP(item) !== 0 && !item.includes('%')) ? item.toLowerCase() : undefined;
    });
    return names === undefined || names.length > 32 ? undefined : names;
  },
};

/** Names separated by commas. */
export const nameList: SettingFormat<readonly string[]> = {
  name: 'names',
  allowed: `names separated by commas, each of 1 to 64 letters, digits, dots, dashes and underscores; at most ${MAX_LIST}`,
  parse: (found) => listOf(found, (item) => (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(item) ? item : undefined)),
};

function listOf<T>(found: string, parse: (item: string) => T | undefined): T[] | undefined {
  if (found.trim() === '') return [];
  const items = found.split(',').map((item) => parse(item.trim()));
  return items.length <= MAX_LIST && items.every((item) => item !== undefined) ? items : undefined;
}

function hostPort(item: string): HostPort | undefined {
  if (isIPv6(item)) return { host: item, port: undefined };
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^[\]:]+))(?::(\d{1,5}))?$/.exec(item) ?? [];
  // Names in other scripts go over the wire in their ASCII form (RFC 5890).
  const host = bracketed ?? (/[^\p{ASCII}]/u.test(plain ?? '') ? domainToASCII(plain ?? '') : (plain ?? ''));
  const port = portText === undefined ? undefined : Number(portText);
  if (port !== undefined && (port < 1 || port > 65_535)) return undefined;
  if (bracketed === undefined ? isIP(host) === 0 && !isHostName(host) : !isIPv6(host)) return undefined;
  return { host: host.toLowerCase(), port };
}

/** All digits and dots would be a mistyped address (300.1.1.1). */
function isHostName(host: string): boolean {
  return DIALED_NAME.test(host) && !/^[\d.]+$/.test(host);
}

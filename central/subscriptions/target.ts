// Decides where Central sends events: public addresses, and those that an administrator allowed. A subscription must not
// become a way into the network of Central (server-side request forgery).
import type { LookupAddress } from 'node:dns';
import { lookup as resolveName } from 'node:dns/promises';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { callbackify } from 'node:util';
import { AddressSet, normalAddress } from '../parameters/address-access.ts';
import { textOf } from '../../shared/errors.ts';
import { certificatesInPem } from '../../shared/x509/certificates.ts';
import { subscriptionFault } from './errors.ts';

const MAX_URL_LENGTH = 2_048;

/** Not public: IANA's registries of special-purpose addresses (RFC 6890). */
const SPECIAL = new BlockList();
for (const [address, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.31.196.0', 24],
  ['192.52.193.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['192.175.48.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  SPECIAL.addSubnet(address, prefix, 'ipv4');
/** Of IPv6 only the global unicast addresses are public, less what is special in them. */
const GLOBAL_V6 = new BlockList();
GLOBAL_V6.addSubnet('2000::', 3, 'ipv6');
for (const [address, prefix] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const)
  SPECIAL.addSubnet(address, prefix, 'ipv6');

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

function isPublic(address: string): boolean {
  if (isIP(address) === 4) return !SPECIAL.check(address, 'ipv4');
  return isIP(address) === 6 && GLOBAL_V6.check(address, 'ipv6') && !SPECIAL.check(address, 'ipv6');
}

/** Where events may go: `isPlain` is http, which is for receivers on this host. */
export function isAllowedTarget(found: string, allowed: readonly string[], isPlain: boolean): boolean {
  const address = normalAddress(found);
  const isListed = new AddressSet(allowed).has(address);
  if (isPlain) return isListed && LOOPBACK.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
  return isListed || isPublic(address);
}

/** The host of a URL, without the brackets of IPv6. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

/** The URL of a target. Names are looked up when events are sent. Errors: subscription_target_invalid. */
export function readTarget(text: string, allowed: readonly string[]): URL {
  const refused = (found: string) => subscriptionFault('subscription_target_invalid', { found });
  if (text.length > MAX_URL_LENGTH) throw refused(`it has ${text.length} characters, at most ${MAX_URL_LENGTH}`);
  if (!URL.canParse(text)) throw refused('it is not a URL');
  const url = new URL(text);
  const isPlain = url.protocol === 'http:';
  if (!isPlain && url.protocol !== 'https:') throw refused(`the scheme is ${url.protocol.slice(0, 32)}`);
  if (url.username !== '' || url.password !== '') throw refused('it has a user name or a password');
  if (url.hash !== '') throw refused('it has a fragment');
  const host = hostOf(url);
  if (isIP(host) !== 0 && !isAllowedTarget(host, allowed, isPlain)) throw refused(`the address ${host} is not allowed`);
  if (isPlain && isIP(host) === 0 && host !== 'localhost') throw refused('http is for receivers on this host only');
  return url;
}

/** PEM certificates of authorities. Errors: subscription_ca_invalid. */
export function assertAuthorities(pem: string): void {
  const found = ((): string | undefined => {
    try {
      return certificatesInPem(pem).length === 0 ? 'there is no certificate in it' : undefined;
    } catch (error) {
      return textOf(error);
    }
  })();
  if (found !== undefined) throw subscriptionFault('subscription_ca_invalid', { found });
}

/** By name; a look-up cannot be ended, and those that hang would pile up on the few threads that do them. */
const lookUps = new Map<string, Promise<LookupAddress[]>>();

function lookUp(host: string): Promise<LookupAddress[]> {
  const known = lookUps.get(host);
  if (known !== undefined) return known;
  const found = resolveName(host, { all: true }).finally(() => lookUps.delete(host));
  lookUps.set(host, found);
  return found;
}

/** The addresses of a name that events may go to. Errors: webhook_address_denied, those of the look-up. */
async function allowedAddresses(
  host: string,
  allowed: () => readonly string[],
  isPlain: boolean,
): Promise<[LookupAddress, ...LookupAddress[]]> {
  const addresses = await lookUp(host);
  const [first, ...others] = addresses.filter(({ address }) => isAllowedTarget(address, allowed(), isPlain));
  if (first !== undefined) return [first, ...others];
  const address = addresses[0]?.address ?? '-';
  throw subscriptionFault('webhook_address_denied', { host: host.slice(0, 253), address });
}

const findAddresses = callbackify(allowedAddresses);

/** Looks names up as Node does, and connects to allowed addresses only, also where a name has others beside them. */
export function guardedLookup(allowed: () => readonly string[], isPlain: boolean): LookupFunction {
  return (host, options, callback) =>
    findAddresses(host, allowed, isPlain, (error, found) => {
      if (error !== null) callback(error, '', 0);
      else if (options.all === true) callback(null, found);
      else callback(null, found[0].address, found[0].family);
    });
}

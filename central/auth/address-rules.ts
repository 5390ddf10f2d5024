// Classifies addresses: loopback, a trusted proxy, the block that shares one bound. An address is never guessed.
import { isIP } from 'node:net';
import type { IncomingHttpHeaders } from 'node:http';
import { refusal } from '../../shared/wire/refusals.ts';
import { normalAddress, type AddressAccess, type AddressSet } from '../parameters/address-access.ts';
import type { ParameterValues } from '../parameters/definitions.ts';

/** True for 127.0.0.0/8, ::1 and their mapped forms. No exemption from authentication follows from it. */
export function isLoopback(address: string): boolean {
  const normal = normalAddress(address);
  return normal === '::1' || (isIP(normal) === 4 && normal.startsWith('127.'));
}

/**
 * The block that shares one bound: an IPv4 address (/32), or the /64 of an IPv6 address, all of which one host can take
 * at will (RFC 4291 section 2.5.4). A text that is not an address is a block of its own.
 */
export function addressBlock(address: string): string {
  const normal = normalAddress(address);
  if (isIP(normal) !== 6) return normal;
  const [before = '', after] = normal.toLowerCase().split('::', 2);
  const head = before === '' ? [] : before.split(':');
  const tail = after === undefined || after === '' ? [] : after.split(':');
  // An IPv4 tail (::ffff:0:1.2.3.4 and the like) replaces two groups.
  const width = head.length + tail.length + (normal.includes('.') ? 1 : 0);
  const groups = after === undefined ? head : [...head, ...Array.from({ length: 8 - width }, () => '0'), ...tail];
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`;
}

/** Where a connection really comes from, and over what it left there. */
export interface Origin {
  /**
   * An address; or, where a named proxy forwards none that can be read, `unknownBehind` it, which is never loopback.
   */
  readonly address: string;
  /** The other end of the TCP connection: the proxy, if there is one. */
  readonly peer: string;
  /** A trusted proxy forwarded the connection and names its origin. */
  readonly proxied: boolean;
  /** The transport as the agent must see it. Through a proxy it is secure only if the proxy says https. */
  readonly scheme: 'ws' | 'wss';
}

/** All connections through one proxy whose origin is unknown share this address, and its bounds. */
function unknownBehind(proxy: string): string {
  return `${UNKNOWN}${proxy})`;
}

const UNKNOWN = 'unknown (behind ';

export function isUnknown(address: string): boolean {
  return address.startsWith(UNKNOWN);
}

/**
 * The origin of a request on a listener. Forwarding headers count only from a named proxy; of X-Forwarded-For the last
 * entry is taken, which that proxy itself has added (the ones before it could be anybody's). It must be an address and
 * nothing else: without one the origin is unknown, and encrypted only if the proxy says so. `announced` (PROXY
 * protocol) is the TCP peer as the proxy saw it: headers then count only if that peer is a named proxy, too.
 */
export function originOf(
  remoteAddress: string | undefined,
  listener: 'ws' | 'wss',
  headers: IncomingHttpHeaders,
  proxies: AddressSet,
  announced?: string,
): Origin {
  const peer = normalAddress(remoteAddress);
  const ownScheme = listener === 'wss' ? 'wss' : 'ws';
  if (!proxies.has(peer)) return { address: peer, peer, proxied: false, scheme: ownScheme };
  const hop = announced === undefined ? peer : normalAddress(announced);
  if (announced !== undefined && !proxies.has(hop))
    return { address: remoteOrHere(hop, peer, peer), peer, proxied: true, scheme: ownScheme };
  const forwardedFor = lastOf(headers['x-forwarded-for']);
  const forwardedProto = lastOf(headers['x-forwarded-proto'])?.toLowerCase();
  const saysSecure = forwardedProto === 'https' || forwardedProto === 'wss';
  // Between two proxies there may be more hops than the last one: the rule applies to the one that is not on this host.
  const seen = isLoopback(peer) ? hop : peer;
  if (forwardedFor === undefined || isIP(forwardedFor) === 0)
    return { address: unknownBehind(hop), peer: seen, proxied: true, scheme: saysSecure ? 'wss' : 'ws' };
  const secure = forwardedProto === undefined ? listener === 'wss' : saysSecure;
  return {
    address: remoteOrHere(normalAddress(forwardedFor), seen, hop),
    peer: seen,
    proxied: true,
    scheme: secure ? 'wss' : 'ws',
  };
}

/** "Loopback", said by a proxy on another host, is that host. */
function remoteOrHere(address: string, peer: string, proxy: string): string {
  return isLoopback(address) && !isLoopback(peer) ? unknownBehind(proxy) : address;
}

/**
 * May an agent from there be on this listener? Undefined when it may, else the refusal. Unencrypted off: nothing
 * unencrypted comes from elsewhere, neither the TCP connection itself nor, through a forwarder on this host, the
 * agent's own.
 */
export function transportRefusal(
  values: Pick<ParameterValues, 'websocket.enabled' | 'websocket.secure.enabled'>,
  listener: 'ws' | 'wss',
  origin: Pick<Origin, 'address' | 'peer' | 'scheme'>,
): Error | undefined {
  if (listener === 'wss' && !values['websocket.secure.enabled']) return refusal('wss_disabled', {});
  if (values['websocket.enabled']) return undefined;
  const hereIsEncrypted = listener === 'wss' || isLoopback(origin.peer);
  const thereIsEncrypted = origin.scheme === 'wss' || isLoopback(origin.address);
  return hereIsEncrypted && thereIsEncrypted ? undefined : refusal('ws_disabled', {});
}

/**
 * The same, and what the address rules say (access.ws.*, access.wss.*). They are about the network: this host may
 * always connect.
 */
export function listenerRefusal(
  values: Parameters<typeof transportRefusal>[0],
  access: AddressAccess,
  listener: 'ws' | 'wss',
  origin: Parameters<typeof transportRefusal>[2],
): Error | undefined {
  const blocked = transportRefusal(values, listener, origin);
  if (blocked !== undefined || isOfThisHost(origin) || access.admits(listener, origin.address)) return blocked;
  return refusal('address_denied', { address: origin.address, listener });
}

export function isOfThisHost({ address, peer }: Pick<Origin, 'address' | 'peer'>): boolean {
  return isLoopback(address) && isLoopback(peer);
}

function lastOf(header: string | string[] | undefined): string | undefined {
  const text = Array.isArray(header) ? header.at(-1) : header;
  return text?.split(',').at(-1)?.trim();
}

// Reads the PROXY protocol header, version 2, with which a balancer names the origin of a connection before its first
// byte (haproxy's proxy-protocol.txt, section 2.2). TCP over IPv4 and IPv6 only; extensions (TLV) are skipped.
import { SocketAddress } from 'node:net';

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const VERSION_1 = Buffer.from('PROXY ', 'latin1');
/** Signature, version and command, family and protocol, length. */
const FIXED_BYTES = 16;
/** The addresses take 36 bytes at most; the rest is extensions, of which balancers send some hundred bytes. */
const MAX_BYTES = 4_096;

const LOCAL = 0x20;
const PROXY = 0x21;
const FAMILIES: Readonly<Record<number, { readonly family: 'ipv4' | 'ipv6'; readonly bytes: number }>> = {
  0x11: { family: 'ipv4', bytes: 12 },
  0x21: { family: 'ipv6', bytes: 36 },
};

type ProxyHeader =
  /**
   * What came is something else; or its beginning fits and more has to come: `isHeader` once it can be nothing else.
   */
  | { readonly kind: 'absent' }
  | { readonly kind: 'incomplete'; readonly isHeader: boolean }
  | { readonly kind: 'version1' }
  | { readonly kind: 'malformed'; readonly found: string }
  /** `source` is absent for LOCAL: the balancer speaks for itself (a health check). */
  | { readonly kind: 'present'; readonly bytes: number; readonly source?: string };

export function readProxyHeader(head: Buffer): ProxyHeader {
  if (beginsLike(head, VERSION_1))
    return head.length < VERSION_1.length ? { kind: 'incomplete', isHeader: false } : { kind: 'version1' };
  if (!beginsLike(head, SIGNATURE)) return { kind: 'absent' };
  if (head.length < FIXED_BYTES) return { kind: 'incomplete', isHeader: head.length >= SIGNATURE.length };
  const command = head.readUInt8(12);
  if (command !== LOCAL && command !== PROXY)
    return { kind: 'malformed', found: `version and command 0x${command.toString(16)}` };
  const length = head.readUInt16BE(14);
  const bytes = FIXED_BYTES + length;
  if (bytes > MAX_BYTES) return { kind: 'malformed', found: `a header of ${bytes} bytes` };
  const kind = head.readUInt8(13);
  const family = FAMILIES[kind];
  if (command === PROXY && family === undefined)
    return { kind: 'malformed', found: `family and protocol 0x${kind.toString(16)}` };
  if (command === PROXY && family !== undefined && length < family.bytes)
    return { kind: 'malformed', found: `${length} bytes of addresses` };
  if (head.length < bytes) return { kind: 'incomplete', isHeader: true };
  return command === LOCAL || family === undefined
    ? { kind: 'present', bytes }
    : { kind: 'present', bytes, source: sourceOf(head, family.family) };
}

function beginsLike(head: Buffer, begin: Buffer): boolean {
  const length = Math.min(head.length, begin.length);
  return length > 0 && head.compare(begin, 0, length, 0, length) === 0;
}

function sourceOf(head: Buffer, family: 'ipv4' | 'ipv6'): string {
  if (family === 'ipv4') return head.subarray(FIXED_BYTES, FIXED_BYTES + 4).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => head.readUInt16BE(FIXED_BYTES + 2 * i).toString(16));
  return new SocketAddress({ address: groups.join(':'), family }).address;
}

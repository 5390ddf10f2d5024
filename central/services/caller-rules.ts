// Decides which role a caller of an exposed service has: by its client certificate where a rule names it, otherwise by
// its address. Where an exposure has authorities of callers, nothing counts without a certificate of theirs.
import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { TLSSocket } from 'node:tls';
import { textOf } from '../../shared/errors.ts';
import { READING_METHODS } from '../../shared/http/service-path.ts';
import { certificatesInPem, peerCertificate } from '../../shared/x509/certificates.ts';
import { AddressSet, normalAddress } from '../parameters/address-access.ts';
import type { AllowRule, CallerRole, ExposureSettings } from '../store/services/exposure-store.ts';
import { serviceFault } from './errors.ts';

const MAX_RULES = 64;
const HOST_NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i;
const ANY = '*';

interface AddressRule {
  readonly set: AddressSet;
  readonly prefix: number;
  readonly role: CallerRole;
}

interface Caller {
  readonly role: CallerRole;
  /** For the audit log: the name in the certificate, or the address. */
  readonly who: string;
}

export class CallerRules {
  readonly #addresses: readonly AddressRule[];
  readonly #certificates: readonly AllowRule[];
  readonly #needsCertificate: boolean;

  /** Of settings that `assertSettings` has checked. */
  constructor({ allow, clientCa }: ExposureSettings) {
    // The smallest range that contains an address counts.
    this.#addresses = allow
      .flatMap(({ address, role }) =>
        address === null ? [] : [{ set: new AddressSet([address]), prefix: prefixOf(address), role }],
      )
      .toSorted((a, b) => b.prefix - a.prefix);
    this.#certificates = allow
      .filter(({ certificate }) => certificate !== null)
      // A name before the rule for all.
      .toSorted((a, b) => Number(a.certificate === ANY) - Number(b.certificate === ANY));
    this.#needsCertificate = clientCa !== null;
  }

  /** Errors: service_certificate_required, service_access_denied. */
  callerOf(socket: unknown, address: string, method: string): Caller {
    const shown = this.#needsCertificate ? verifiedCertificate(socket) : undefined;
    const caller = (shown === undefined ? undefined : this.#byCertificate(shown)) ?? this.#byAddress(address);
    if (caller === undefined) throw serviceFault('service_access_denied', { role: 'of this caller: none', method });
    if (caller.role === 'viewer' && !READING_METHODS.some((reading) => reading === method))
      throw serviceFault('service_access_denied', { role: caller.role, method });
    return caller;
  }

  #byCertificate(shown: X509Certificate): Caller | undefined {
    for (const { certificate, role } of this.#certificates) {
      const name = certificate === ANY ? ANY : hostIn(shown, certificate ?? '');
      if (name !== undefined) return { role, who: name === ANY ? `certificate ${shown.fingerprint256}` : name };
    }
    return undefined;
  }

  #byAddress(address: string): Caller | undefined {
    const rule = this.#addresses.find(({ set }) => set.has(address));
    return rule === undefined ? undefined : { role: rule.role, who: normalAddress(address) };
  }
}

/** Errors: service_certificate_required. */
function verifiedCertificate(socket: unknown): X509Certificate {
  const shown = socket instanceof TLSSocket ? peerCertificate(socket) : undefined;
  if (!(socket instanceof TLSSocket) || shown === undefined)
    throw serviceFault('service_certificate_required', { found: 'none was shown' });
  if (!socket.authorized)
    throw serviceFault('service_certificate_required', {
      found: `it is not accepted (${String(socket.authorizationError)})`,
    });
  return shown;
}

/** By the names of hosts in it, and by its common name. */
function hostIn(shown: X509Certificate, name: string): string | undefined {
  return shown.checkHost(name, { subject: 'always', wildcards: false, partialWildcards: false });
}

function prefixOf(block: string): number {
  const [address = '', prefix] = block.split('/', 2);
  const bits = isIP(address) === 6 ? 128 : 32;
  // Share of the address: a range of IPv4 and one of IPv6 have no address in common.
  return prefix === undefined ? bits : Number(prefix);
}

/** Errors: service_exposure_invalid. */
export function assertSettings({ allow, clientCa }: ExposureSettings): void {
  const refuse = (found: string): never => {
    throw serviceFault('service_exposure_invalid', { found });
  };
  if (allow.length === 0) refuse('"allow" has no rule');
  if (allow.length > MAX_RULES) refuse(`"allow" has ${allow.length} rules; at most ${MAX_RULES}`);
  const seen = new Set<string>();
  for (const { address, certificate } of allow) {
    if ((address === null) === (certificate === null))
      refuse('a rule of "allow" has both an address and a certificate, or neither');
    if (address !== null && !isBlock(address)) refuse(`"${address.slice(0, 64)}" is not a CIDR block or an address`);
    if (certificate !== null && clientCa === null) refuse('a rule names a certificate, and "clientCa" is missing');
    if (certificate !== null && certificate !== ANY && !HOST_NAME.test(certificate))
      refuse(`"${certificate.slice(0, 64)}" is not a host name; allowed: a host name in the certificate, or *`);
    const key = `${address ?? ''} ${certificate?.toLowerCase() ?? ''}`;
    if (seen.has(key)) refuse(`"${address ?? certificate ?? ''}" has two rules`);
    seen.add(key);
  }
  if (clientCa !== null) assertAuthorities(clientCa, refuse);
}

function assertAuthorities(pem: string, refuse: (found: string) => never): void {
  let found: string | undefined;
  try {
    const certificates = certificatesInPem(pem);
    if (certificates.length === 0) found = 'there is no certificate in it';
    else if (certificates.some(({ ca }) => !ca)) found = 'a certificate in it is not that of an authority';
  } catch (error) {
    found = textOf(error);
  }
  if (found !== undefined) refuse(`"clientCa" cannot be used: ${found}`);
}

function isBlock(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || address.includes('%') || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 6 ? 128 : 32));
}

// Decides which role a caller of an exposed service has: by its client certificate where a rule names it, otherwise by
// its address. Where authorities of callers are named, nothing counts without a certificate of theirs.
import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { TLSSocket } from 'node:tls';
import { READING_METHODS } from '../../shared/http/service-path.ts';
import { peerCertificate } from '../../shared/x509/certificates.ts';
import { AddressSet, normalAddress } from '../parameters/address-access.ts';
import { ANY_CERTIFICATE as ANY, callersFault } from '../parameters/caller-rule.ts';
import type { AllowRule, CallerRole, ExposureSettings } from '../store/services/exposure-store.ts';
import { serviceFault } from './errors.ts';

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

  /** Of settings that were checked: those of an exposure, or the parameters. Without a rule, no caller has a role. */
  constructor({ allow, clientCa }: Pick<ExposureSettings, 'allow' | 'clientCa'>) {
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
export function assertSettings(settings: ExposureSettings): void {
  const found = settings.allow.length === 0 ? '"allow" has no rule' : callersFault(settings);
  if (found !== undefined) throw serviceFault('service_exposure_invalid', { found });
}

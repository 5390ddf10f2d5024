// Owns how a certificate that an agent was given is noted in the store.
import type { X509Certificate } from 'node:crypto';
import type { IssuedCertificate } from '../store/certificate-store.ts';
import type { Authority } from './authority.ts';
import { spkiOf, thumbprintOf } from './certificate.ts';
import { pinOf } from '../../shared/wire/enrolment.ts';

/** For CertificateStore.recordIssued. */
export function issuedCertificate(certificate: X509Certificate, authority: Pick<Authority, 'chainOf'>, agentId: string, now: number): IssuedCertificate {
  const [, issuer = certificate] = authority.chainOf(certificate);
  return {
    thumbprint: thumbprintOf(certificate),
    agentId,
    serial: certificate.serialNumber,
    issuer: thumbprintOf(issuer),
    keyThumbprint: pinOf(spkiOf(certificate.publicKey)).slice('sha256:'.length),
    notBefore: Date.parse(certificate.validFrom),
    notAfter: Date.parse(certificate.validTo),
    issuedAt: now,
  };
}

// Owns what a registered agent is given: its certificate, noted in the store with what it was told to trust, and the answer that
// carries both. Who may have it is decided by enrollment.ts, approvals.ts, offline.ts and recovery.ts.
import type { KeyObject, X509Certificate } from 'node:crypto';
import { pinOf, type Enrolled } from '../../shared/wire/enrollment.ts';
import type { CertificateStore, IssuedCertificate } from '../store/certificate-store.ts';
import type { TrustBundle } from '../pki/trust/trust-bundle.ts';
import type { Authority } from '../pki/authority/authority.ts';
import { chainPem, spkiOf, thumbprintOf } from '../pki/x509/certificate.ts';

export interface GrantsOptions {
  readonly authority: Authority;
  /** What agents are to trust. */
  readonly trust: Pick<TrustBundle, 'pem' | 'thumbprints'>;
  readonly certificates: Pick<CertificateStore, 'recordIssued' | 'recordTrust'>;
  /** SubjectPublicKeyInfo of Central's signing key, base64. */
  readonly signingKey: string;
  /** Central's name, as its challenges carry it. */
  readonly central: string;
  /** The live parameter `agents.certificate.lifetimeDays`. */
  readonly lifetimeDays: () => number;
  readonly now: () => number;
}

export interface GrantedAgent {
  readonly id: string;
  readonly name: string;
}

export interface Grant {
  readonly certificate: X509Certificate;
  readonly answer: Omit<Enrolled, 'mac'>;
}

export interface Grants {
  /** Makes the agent's certificate, and notes it and what the agent is told to trust. Errors: agent_unknown. */
  grant(agent: GrantedAgent, publicKey: KeyObject): Promise<Grant>;
  /** The answer with a certificate that was made before (PEM), and what is to be trusted now. Errors: agent_unknown. */
  again(agent: GrantedAgent, certificate: string): Promise<Omit<Enrolled, 'mac'>>;
}

export function createGrants({
  authority,
  trust,
  certificates,
  signingKey,
  central,
  lifetimeDays,
  now,
}: GrantsOptions): Grants {
  async function again({ id, name }: GrantedAgent, certificate: string): Promise<Omit<Enrolled, 'mac'>> {
    const [truststore, trusted] = [trust.pem(), trust.thumbprints()];
    await certificates.recordTrust(id, trusted);
    return { id, name, central, signingKey, certificate, truststore };
  }
  return {
    async grant(agent, publicKey) {
      const certificate = await authority.issueAgent({
        id: agent.id,
        name: agent.name,
        publicKey,
        lifetimeDays: lifetimeDays(),
      });
      await certificates.recordIssued(issuedCertificate(certificate, authority, agent.id, now()));
      return { certificate, answer: await again(agent, chainPem(withoutRoot(authority.chainOf(certificate)))) };
    },
    again,
  };
}

/** The certificate and what stands between it and the root. */
export function withoutRoot(chain: readonly X509Certificate[]): readonly X509Certificate[] {
  return chain.length > 1 ? chain.slice(0, -1) : chain;
}

/** For CertificateStore.recordIssued. */
export function issuedCertificate(
  certificate: X509Certificate,
  authority: Pick<Authority, 'chainOf'>,
  agentId: string,
  now: number,
): IssuedCertificate {
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

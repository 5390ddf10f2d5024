// Issues the credentials of a registered agent: its certificate and trust bundle, both recorded in the store, and the
// answer that carries them. enrollment.ts, approvals.ts, offline.ts and recovery.ts decide who gets them.
import type { KeyObject, X509Certificate } from 'node:crypto';
import { pinOf, type Enrolled } from '../../shared/wire/enrollment.ts';
import { validityOf } from '../../shared/x509/validity.ts';
import { auditEntry, type Actor } from '../audit.ts';
import type { CertificateStore, IssuedCertificate } from '../store/certificate-store.ts';
import type { TrustBundle } from '../pki/trust/trust-bundle.ts';
import type { Authority } from '../pki/authority/authority.ts';
import { chainPem, spkiOf, thumbprintOf } from '../pki/x509/certificate.ts';

interface AgentCredentialsOptions {
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

interface NamedAgent {
  readonly id: string;
  readonly name: string;
}

interface IssuedCredentials {
  readonly certificate: X509Certificate;
  readonly answer: Omit<Enrolled, 'proof'>;
}

export interface AgentCredentials {
  /** Issues the agent's certificate, and records it and the trust bundle that the agent gets. Errors: agent_unknown. */
  issue(agent: NamedAgent, publicKey: KeyObject, actor: Actor): Promise<IssuedCredentials>;
  /** The answer with a certificate that was issued before (PEM) and today's trust bundle. Errors: agent_unknown. */
  repeat(agent: NamedAgent, certificate: string): Promise<Omit<Enrolled, 'proof'>>;
}

export function createAgentCredentials({
  authority,
  trust,
  certificates,
  signingKey,
  central,
  lifetimeDays,
  now,
}: AgentCredentialsOptions): AgentCredentials {
  async function repeat({ id, name }: NamedAgent, certificate: string): Promise<Omit<Enrolled, 'proof'>> {
    const [truststore, trusted] = [trust.pem(), trust.thumbprints()];
    await certificates.recordTrust(id, trusted);
    return { id, name, centralName: central, signingKey, certificate, truststore };
  }
  return {
    async issue(agent, publicKey, actor) {
      const certificate = await authority.issueAgent({
        id: agent.id,
        name: agent.name,
        publicKey,
        lifetimeDays: lifetimeDays(),
      });
      const { id, name } = agent;
      const detail = { id, name, certificate: certificate.serialNumber };
      await certificates.recordIssued(
        issuedCertificate(certificate, authority, id, now()),
        auditEntry(actor, 'certificates.issue', detail, now()),
      );
      return { certificate, answer: await repeat(agent, chainPem(withoutRoot(authority.chainOf(certificate)))) };
    },
    repeat,
  };
}

/** The certificate and its intermediates, without the root. */
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
    notBefore: validityOf(certificate).from.getTime(),
    notAfter: validityOf(certificate).to.getTime(),
    issuedAt: now,
  };
}

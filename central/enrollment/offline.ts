// Enrolls machines that cannot reach Central yet: takes a certificate request as a file, and returns one PEM file with
// the whole identity: the agent's certificate and its chain, the trust bundle, and the certificate of the signing key.
import type { X509Certificate } from 'node:crypto';
import { pinOf } from '../../shared/wire/enrollment.ts';
import { validate } from '../../shared/wire/json-schema.ts';
import { HELLO } from '../../shared/wire/messages.ts';
import { auditEntry, type Actor } from '../audit.ts';
import { CENTRAL_AGENT_NAME } from '../store/agent-names.ts';
import type { EnrollmentStore } from '../store/enrollment-store.ts';
import type { AgentRecord, AgentStore } from '../store/agent-store.ts';
import type { TrustBundle } from '../pki/trust/trust-bundle.ts';
import type { Authority } from '../pki/authority/authority.ts';
import { chainPem, thumbprintOf } from '../pki/x509/certificate.ts';
import { readRequest } from '../pki/x509/csr.ts';
import type { EnrollmentPolicy } from './enrollment.ts';
import { pkiFault } from '../pki/errors.ts';
import type { AgentCredentials } from './credentials.ts';
import type { SigningCertificate } from '../pki/authority/signing-key.ts';

interface OfflineEnrollmentOptions {
  readonly agents: Pick<AgentStore, 'findByKey'>;
  readonly enrollments: Pick<EnrollmentStore, 'admit'>;
  readonly credentials: AgentCredentials;
  readonly authority: Pick<Authority, 'chainOf'>;
  readonly trust: Pick<TrustBundle, 'certificates'>;
  readonly signing: Pick<SigningCertificate, 'chain'>;
  readonly policy: () => EnrollmentPolicy;
  readonly now: () => number;
}

interface IssueOrder {
  /** PEM. */
  readonly csr: string;
  /** In place of what the request says. */
  readonly name: string | undefined;
  readonly id: string | undefined;
}

interface Issued {
  readonly agent: AgentRecord;
  readonly certificate: X509Certificate;
  /** The whole file. */
  readonly pem: string;
}

export interface OfflineEnrollment {
  /**
   * Errors: enrollment_closed, enrollment_name_reserved, issue_name_missing, csr_unreadable, csr_signature,
   * csr_key_type, those of EnrollmentStore.admit.
   */
  issue(order: IssueOrder, actor: Actor): Promise<Issued>;
}

export function createOfflineEnrollment({
  agents,
  enrollments,
  credentials,
  authority,
  trust,
  signing,
  policy,
  now,
}: OfflineEnrollmentOptions): OfflineEnrollment {
  return {
    async issue(order, actor) {
      const csr = readRequest(order.csr);
      const keyThumbprint = pinOf(csr.spki).slice('sha256:'.length);
      const known = await agents.findByKey(keyThumbprint);
      // A registered agent gets another certificate; that enrolls no new one.
      if (known === undefined && policy() === 'closed') throw pkiFault('enrollment_closed', {});
      const name = order.name ?? known?.name ?? csr.name;
      if (name === undefined || validate(HELLO.properties.name, name) !== undefined)
        throw pkiFault('issue_name_missing', { found: name ?? 'none' });
      if (name.toLowerCase() === CENTRAL_AGENT_NAME) throw pkiFault('enrollment_name_reserved', { name });
      const id = order.id ?? known?.id ?? csr.id ?? keyThumbprint;
      const agent = await enrollments.admit(
        {
          id,
          name,
          publicKey: csr.spki.toString('base64'),
          keyThumbprint,
          now: now(),
        },
        actor.who,
        auditEntry(actor, 'agents.create', { id, name, keyThumbprint }, now()),
      );
      const { certificate } = await credentials.issue(agent, csr.publicKey, actor);
      return { agent, certificate, pem: fileOf(certificate) };
    },
  };

  /**
   * The agent's chain, its certificate first; what else is to be trusted; and the signing key's certificate last. Each
   * once.
   */
  function fileOf(certificate: X509Certificate): string {
    const all = [...authority.chainOf(certificate), ...trust.certificates(), ...signing.chain().toReversed()];
    return chainPem([...new Map(all.map((certificate) => [thumbprintOf(certificate), certificate])).values()]);
  }
}

// Revokes and deletes agents as one act: the registry, the session, the published list, the audit log; and checks a
// client certificate before a connection is upgraded. The hello refuses revoked agents
// (central/auth/agent-identity.ts).
import type { X509Certificate } from 'node:crypto';
import { textOf, type CodedError } from '../../shared/errors.ts';
import { auditEntry, type Actor } from '../audit.ts';
import { thumbprintOf } from '../pki/x509/certificate.ts';
import { pkiFault } from '../pki/errors.ts';
import type { RevocationLists } from '../pki/revocation-lists.ts';
import type { CertificateStore, RevocationReason } from '../store/certificate-store.ts';
import { stateReason } from '../store/agents/state-reasons.ts';
import { storeFault } from '../store/errors.ts';
import type { AgentRecord, AgentStore } from '../store/agent-store.ts';
import type { Sessions } from '../sessions/sessions.ts';

interface RevocationOptions {
  readonly agents: Pick<AgentStore, 'get' | 'remove' | 'revoke'>;
  readonly certificates: Pick<CertificateStore, 'find'>;
  readonly sessions: Pick<Sessions, 'remove' | 'revoke'>;
  readonly lists: Pick<RevocationLists, 'refresh' | 'touch'>;
  readonly log: { warn(facts: object, text: string): void };
  readonly now: () => number;
}

export interface Revocations {
  /** When this resolves, the session has ended and the list has the certificates. Errors: agent_unknown. */
  revoke(id: string, reason: RevocationReason, actor: Actor): Promise<AgentRecord>;
  /** Deletes it from the registry and revokes its certificates. Errors: agent_unknown. */
  remove(id: string, actor: Actor): Promise<void>;
  /** Why a connection with this client certificate is not upgraded; undefined when it is. */
  checkClientCertificate(shown: X509Certificate): Promise<CodedError | undefined>;
}

export function createRevocations({ agents, certificates, sessions, lists, log, now }: RevocationOptions): Revocations {
  const publish = async (): Promise<void> => {
    lists.touch();
    // The revocation is effective already; maintenance publishes the list within a minute (central/maintenance.ts).
    await lists
      .refresh()
      .catch((error: unknown) => log.warn({ error: textOf(error) }, 'the revocation lists could not be made'));
  };
  return {
    async revoke(id, reason, actor) {
      const comment = actor.comment === undefined ? '' : ` (${actor.comment})`;
      const text = stateReason('revoked_by_administrator', { who: actor.who, reason: `${reason}${comment}` });
      const audit = auditEntry(actor, 'agents.revoke', { id, reason }, now());
      const epoch = await agents.revoke(id, { reason, now: now(), text }, audit);
      sessions.revoke(id, epoch, reason);
      await publish();
      const agent = await agents.get(id);
      if (agent === undefined) throw storeFault('agent_unknown', { id });
      return agent;
    },
    async remove(id, actor) {
      await agents.remove(id, auditEntry(actor, 'agents.delete', { id }, now()));
      sessions.remove(id);
      await publish();
    },
    async checkClientCertificate(shown) {
      const revoked = (await certificates.find(thumbprintOf(shown)))?.revoked ?? null;
      return revoked === null ? undefined : pkiFault('certificate_revoked', { reason: revoked.reason });
    },
  };
}

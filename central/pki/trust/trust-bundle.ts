// Determines what agents must trust, and which of them would refuse Central if it showed another certificate: as far as
// Central knows, because what an administrator imports into a truststore is not reported to it.
import type { X509Certificate } from 'node:crypto';
import type { CutOffAgent } from '../../change/report.ts';
import type { AgentTrust, CertificateStore } from '../../store/certificate-store.ts';
import type { Authority } from '../authority/authority.ts';
import { chainPem, readChain, thumbprintOf } from '../x509/certificate.ts';
import type { ServerIdentity } from '../server/server-identity.ts';
import { rootOfCredentials } from '../server/slots.ts';

/** The roots that agents receive. */
export interface TrustBundle {
  /**
   * Each once: the root of what Central shows now, those of the authority's generations, those of staged and previous
   * certificates.
   */
  certificates(): X509Certificate[];
  pem(): string;
  /** SHA-256, lower-case hex, in the same order: what an agent that took the bundle has. */
  thumbprints(): string[];
}

export function trustBundle(authority: Authority, identity: Pick<ServerIdentity, 'slots'>): TrustBundle {
  const certificates = (): X509Certificate[] => {
    const { current, staged, previous } = identity.slots;
    const shown = [current, staged, previous].filter((slot) => slot !== undefined);
    const [first, ...others] = shown.map((credentials) => rootOfCredentials(credentials));
    const all = [...(first === undefined ? [] : [first]), ...authority.roots(), ...others];
    return [...new Map(all.map((certificate) => [thumbprintOf(certificate), certificate])).values()];
  };
  return {
    certificates,
    pem: () => chainPem(certificates()),
    thumbprints: () => certificates().map((certificate) => thumbprintOf(certificate)),
  };
}

export interface TrustKnowledge {
  readonly certificates: Pick<CertificateStore, 'trust'>;
  readonly authority: Pick<Authority, 'firstRoot' | 'roots'>;
}

const PAGE = 1000;

/** Registered agents that check Central's certificate and hold nothing of `chain` (PEM). In order of name. */
export async function agentsWithoutTrust(
  { certificates, authority }: TrustKnowledge,
  chain: string,
): Promise<AgentTrust[]> {
  const sent = readChain(chain, 'The chain');
  // A cross-certificate represents the root with the same key: an agent that trusts that root needs nothing else.
  const standFor = authority
    .roots()
    .filter((root) => sent.some((certificate) => certificate.publicKey.equals(root.publicKey)));
  const shown = new Set([...sent, ...standFor].map((certificate) => thumbprintOf(certificate)));
  const without: AgentTrust[] = [];
  for (let after: string | undefined; ;) {
    const page = await certificates.trust({ limit: PAGE, ...(after === undefined ? {} : { after }) });
    for (const agent of page) {
      // Plain ws shows no certificate. An agent that has never connected enrolled for wss.
      if (agent.transport === 'ws') continue;
      if (!(agent.trusted ?? [authority.firstRoot]).some((thumbprint) => shown.has(thumbprint))) without.push(agent);
    }
    after = page.at(-1)?.name;
    if (page.length < PAGE || after === undefined) return without;
  }
}

/** How a report shows one of them. */
export function untrusting({ id, name }: AgentTrust): CutOffAgent {
  const detail = 'As far as Central knows, its truststore holds no root of the chain: it would refuse the connection.';
  return { id, name, reason: 'root-not-trusted', detail };
}

// Counts the progress of a rotation: which agents trust a root, which do not and why, and which generation signed each
// agent's certificate. As far as Central knows: what an administrator imports into a truststore is not reported to it.
import type { CutOffAgent } from '../../change/report.ts';
import type { AgentTrust, CertificateStore } from '../../store/certificate-store.ts';
import type { Refusal } from '../trust/publication.ts';

export interface ProgressOptions {
  readonly certificates: Pick<CertificateStore, 'soonest' | 'trust'>;
  /** Thumbprint of the root that agents without a record are taken to trust. */
  readonly firstRoot: () => string;
  /** What is known of the agents that are online (central/pki/trust/publication.ts). */
  readonly publication: {
    refusalOf(agentId: string): Refusal | undefined;
    unsupported(): Promise<ReadonlySet<string>>;
  };
  readonly now: () => number;
}

/** An agent that needs attention, and why. */
export interface NamedAgent {
  readonly id: string;
  readonly name: string;
  readonly why: 'offline' | 'refused' | 'awaiting-ack' | 'unsupported' | 'certificate-missing';
  /** The whole sentence. */
  readonly text: string;
  readonly since: number | null;
}

/** How a report shows it. */
export function cutOffOf({ id, name, why: reason, text: detail }: NamedAgent): CutOffAgent {
  return { id, name, reason, detail };
}

export interface TrustProgress {
  readonly registered: number;
  readonly acknowledged: number;
  /** They speak plain ws, to which no certificate is shown, and do not have it. */
  readonly unencrypted: number;
  readonly missing: readonly NamedAgent[];
}

export interface IssuerProgress {
  /** Registered agents whose newest certificate was signed by it. */
  readonly renewed: number;
  /** Agents whose newest, still valid one was signed by one of the other generations in question. */
  readonly others: readonly NamedAgent[];
}

const PAGE = 1000;

/** Which agents trust this root. */
export async function trustProgress(options: ProgressOptions, root: string): Promise<TrustProgress> {
  let [registered, acknowledged, unencrypted] = [0, 0, 0];
  const missing: NamedAgent[] = [];
  const unsupported = await options.publication.unsupported();
  for (let after: string | undefined; ;) {
    const page = await options.certificates.trust({ limit: PAGE, ...(after === undefined ? {} : { after }) });
    for (const agent of page) {
      registered += 1;
      if ((agent.trusted ?? [options.firstRoot()]).includes(root)) acknowledged += 1;
      else if (agent.transport === 'ws') unencrypted += 1;
      else missing.push(missingAgent(options, unsupported, agent));
    }
    after = page.at(-1)?.name;
    if (page.length < PAGE || after === undefined) return { registered, acknowledged, unencrypted, missing };
  }
}

function missingAgent(
  { publication }: ProgressOptions,
  unsupported: ReadonlySet<string>,
  { id, name, offlineSince }: AgentTrust,
): NamedAgent {
  const refusal = publication.refusalOf(id);
  const refused = refusal === undefined ? '' : ` It refused: ${refusal.detail} (${refusal.code})`;
  if (offlineSince !== null)
    return {
      id,
      name,
      why: 'offline',
      since: offlineSince,
      text: `Offline since ${new Date(offlineSince).toISOString()}.${refused}`,
    };
  if (refusal !== undefined) return { id, name, why: 'refused', since: refusal.at, text: refused.trim() };
  if (unsupported.has(id))
    return {
      id,
      name,
      why: 'unsupported',
      since: null,
      text: 'Its version takes no roots from Central: upgrade it, or import the root there (queuegate ca trust-bundle, queue-agent truststore import).',
    };
  return { id, name, why: 'awaiting-ack', since: null, text: 'It was sent the root, and has not acknowledged it yet.' };
}

/** Whose newest certificate was signed by `current`, and whose by one of `others`. */
export async function issuerProgress(
  { certificates, now }: ProgressOptions,
  current: string,
  others: ReadonlySet<string>,
): Promise<IssuerProgress> {
  let renewed = 0;
  const found: NamedAgent[] = [];
  for (let after: { readonly notAfter: number; readonly thumbprint: string } | undefined; ;) {
    const page = await certificates.soonest({ limit: PAGE, ...(after === undefined ? {} : { after }) });
    for (const { agentId, name, issuer, notAfter } of page) {
      if (issuer === current) renewed += 1;
      // An expired certificate proves nothing, whatever signed it.
      else if (others.has(issuer) && notAfter > now())
        found.push({
          id: agentId,
          name,
          why: 'certificate-missing',
          since: null,
          text: `Its certificate was signed by it, and is valid until ${new Date(notAfter).toISOString()}.`,
        });
    }
    after = page.at(-1);
    if (page.length < PAGE || after === undefined) return { renewed, others: found };
  }
}

// Validates a hello: is it the registered agent, with a certificate that is still good, does it answer this challenge,
// was it made for this very connection? Each rule is one step below, in this order; the first that fails is the
// refusal. Knows no sockets and writes nothing.
import type { AgentCertificate } from '../store/certificate-store.ts';
import type { AgentRecord, ClaimTerms } from '../store/agent-store.ts';
import type { Challenge, Hello } from '../../shared/wire/messages.ts';
import { helloTranscript, readPublicKey, shownThumbprint, verifyTranscriptAside } from '../../shared/wire/proof.ts';
import { refusal } from '../../shared/wire/refusals.ts';
import type { Origin } from './address-rules.ts';

/** The connection as Central sees it. */
export interface SeenConnection {
  readonly listener: 'ws' | 'wss';
  readonly origin: Origin;
  /** RFC 9266 value of the TLS connection that ends here; null on plain, or below TLS 1.3. */
  readonly binding: string | null;
}

interface ProvenKey {
  readonly thumbprint: string;
}

/**
 * Steps that need no registry: the hello answers this challenge, is signed by the key it carries, and is bound to this
 * connection. Rejects with a refusal (shared/wire/refusals.ts). The signature is verified on the thread pool.
 */
export async function proveHello(hello: Hello, challenge: Challenge, seen: SeenConnection): Promise<ProvenKey> {
  const key = readPublicKey(hello.key);
  if (key === undefined) throw refusal('bad_signature', {});
  if (hello.challenge !== challenge.nonce) throw refusal('replayed_hello', {});
  if (!(await verifyTranscriptAside(helloTranscript(challenge, hello), hello.signature, key)))
    throw refusal('bad_signature', {});
  if (hello.transport !== seen.origin.scheme)
    throw refusal('wrong_transport', { found: hello.transport, expected: seen.origin.scheme });
  if (hello.binding === null) {
    if (seen.listener === 'wss' && !seen.origin.proxied)
      throw refusal('binding_required', { address: seen.origin.address });
  } else if (hello.binding !== seen.binding) {
    throw refusal('binding_mismatch', {});
  }
  return { thumbprint: shownThumbprint(hello.key) };
}

/**
 * The step that needs the registry: `byId` is the agent registered under the hello's id, if any; its next key is as
 * good as its current one.
 */
export function validateRegistration(hello: Hello, key: ProvenKey, byId: AgentRecord | undefined): AgentRecord {
  if (byId === undefined) throw refusal('agent_unknown', { id: hello.id });
  if (byId.keyThumbprint !== key.thumbprint && byId.next?.keyThumbprint !== key.thumbprint)
    throw refusal('agent_key_mismatch', { id: hello.id });
  return byId;
}

/** The last step: only the agent itself learns that it is disabled, and as often as it may log in. */
export function validateEnabled({ state }: AgentRecord): void {
  if (state === 'disabled') throw refusal('agent_disabled', {});
}

/** Parameter agents.authentication. */
export type Authentication = 'certificate' | 'certificate-or-key';

export interface CertificateTerms {
  readonly authentication: Authentication;
  readonly graceDays: number;
  readonly now: number;
}

const DAY_MS = 86_400_000;

/**
 * What validates the record of most agents in the look-up itself: who meets these terms
 * (central/store/agents/claim-terms.ts) passes `validateRegistration`, `validateCertificate` and `validateEnabled`.
 */
export function claimTerms({ authentication, graceDays, now }: CertificateTerms): ClaimTerms {
  return { keyAlone: authentication !== 'certificate', expiresAfter: now - graceDays * DAY_MS };
}

/** The time up to which a certificate that ends at `notAfter` may still be renewed. */
function graceEnd(notAfter: number, graceDays: number): number {
  return notAfter + graceDays * DAY_MS;
}

/**
 * The step that looks at the certificate on record of the key that signed: what Central gave is known here, whatever
 * the agent shows in TLS or does not. Null: there is none, and it may come by its key. Throws revoked,
 * certificate_expired, authentication_kind.
 */
export function validateCertificate(
  agent: AgentRecord,
  key: ProvenKey,
  { authentication, graceDays, now }: CertificateTerms,
): AgentCertificate | null {
  if (agent.revocation !== null) throw refusal('agent_revoked', { reason: agent.revocation.reason });
  const certificate = agent.next?.keyThumbprint === key.thumbprint ? agent.next.certificate : agent.certificate;
  if (certificate === null) {
    if (authentication === 'certificate') throw refusal('authentication_kind', { id: agent.id });
    return null;
  }
  if (certificate.revoked !== null) throw refusal('agent_revoked', { reason: certificate.revoked.reason });
  if (graceEnd(certificate.notAfter, graceDays) <= now)
    throw refusal('certificate_expired', { date: new Date(certificate.notAfter).toISOString(), graceDays });
  return certificate;
}

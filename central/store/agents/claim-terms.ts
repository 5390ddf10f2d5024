// Decides whether the look-up of an agent claims its session at once: what most agents are. It is strict: the rules for
// hellos (central/auth/agent-identity.ts) look again at each agent that it leaves out, and it lets in none that they
// refuse.
import type { AgentRecord, ClaimTerms, SessionClaim } from '../agent-store.ts';

/** The agent connects with its current key and a certificate that is good, and nothing is known against it. */
export function meetsTerms(
  { keyThumbprint, state, revocation, quarantinedUntil, certificate, session }: AgentRecord,
  claim: Pick<SessionClaim, 'bootId' | 'keyThumbprint' | 'now'>,
  { keyAlone, expiresAfter, otherBootSince }: ClaimTerms,
): boolean {
  if (keyThumbprint !== claim.keyThumbprint || revocation !== null) return false;
  if (state === 'revoked' || state === 'disabled') return false;
  if (quarantinedUntil !== null && quarantinedUntil > claim.now) return false;
  if (otherBootSince !== undefined && isOtherBoot(session, claim.bootId, otherBootSince)) return false;
  if (certificate === null) return keyAlone;
  return certificate.revoked === null && certificate.notAfter > expiresAfter;
}

function isOtherBoot(last: AgentRecord['session'], bootId: string, since: number): boolean {
  return last !== null && last.bootId !== bootId && last.since >= since;
}

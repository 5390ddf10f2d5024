// Checks the client certificate of an agent (docs/CERTIFICATES.md): issued by this Central, in date (or the agent's
// own, expired within the grace period or not valid yet), and for the very key that the agent signs its hello with. TLS
// itself only asks for it: an expired certificate of a stranger would there look like one of ours.
import type { X509Certificate } from 'node:crypto';
import { refusal } from '../../shared/wire/refusals.ts';
import { hasUnreadableDate, timeLine, validityOf } from '../../shared/x509/validity.ts';
import { spkiOf, thumbprintOf } from '../pki/x509/certificate.ts';
import { signedBy } from '../pki/x509/chain.ts';
import type { AgentCertificate } from '../store/certificate-store.ts';

export type ClientAuth = 'none' | 'optional' | 'required';

/** RFC 5280 section 4.2.1.12, id-kp-clientAuth. */
const CLIENT_USAGE = '1.3.6.1.5.5.7.3.2';

export interface ClientTerms {
  /** The key of the hello, SubjectPublicKeyInfo in DER, in its one form. */
  readonly publicKey: Buffer;
  /**
   * The agent's certificate on record, validated already (agent-identity.ts): it may have expired within the grace
   * period.
   */
  readonly own: AgentCertificate | null;
  /** The certificates that sign, or once signed, for agents. */
  readonly authorities: () => readonly X509Certificate[];
  readonly now: number;
}

/**
 * Throws certificate_required or certificate_foreign. `shown` is what the peer presented in this TLS session; a resumed
 * one may show none, and counts as without then.
 */
export function validateClientCertificate(
  mode: ClientAuth,
  shown: X509Certificate | undefined,
  terms: ClientTerms,
): void {
  if (mode === 'none') return;
  if (shown === undefined) {
    if (mode === 'required') throw refusal('certificate_required', {});
    return;
  }
  const found = faultOf(shown, terms);
  if (found !== undefined) throw refusal('certificate_foreign', { found });
}

function faultOf(shown: X509Certificate, { publicKey, own, authorities, now }: ClientTerms): string | undefined {
  if (!spkiOf(shown.publicKey).equals(publicKey)) return 'it is for another key than the one the agent signs with';
  if (!authorities().some((authority) => signedBy(shown, authority)))
    return `it is not issued by this Central, but by "${shown.issuer.replaceAll('\n', ', ')}"`;
  if (shown.ca || !shown.keyUsage?.includes(CLIENT_USAGE)) return 'it is not a client certificate';
  const { from, to } = validityOf(shown);
  if (hasUnreadableDate(shown)) return 'it has a date that is not in the calendar';
  // The record has checked when its own one expires; and where that is not valid yet, Central issued it while a clock
  // was wrong, and renews it in this session.
  if (thumbprintOf(shown) === own?.thumbprint) return undefined;
  if (from.getTime() > now)
    return `it is valid from ${timeLine(from)} on only; Central's clock shows ${new Date(now).toISOString()}`;
  return to.getTime() <= now ? `it expired on ${timeLine(to)}` : undefined;
}

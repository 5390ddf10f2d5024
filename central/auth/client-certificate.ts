// Judges the client certificate of an agent (DESIGN section 4): issued by this Central, valid today, and for the very key that the
// agent signs its hello with. TLS itself only asks for it: an expired certificate of a stranger would there look like one of ours.
import type { X509Certificate } from 'node:crypto';
import { refusal } from '../../shared/wire/refusals.ts';
import { signedBy } from '../pki/chain.ts';

export type ClientAuth = 'none' | 'optional' | 'required';

/** RFC 5280 section 4.2.1.12, id-kp-clientAuth. */
const CLIENT_USAGE = '1.3.6.1.5.5.7.3.2';

/**
 * Throws certificate_required or certificate_foreign. `shown` is what the peer presented in this TLS handshake; a resumed session
 * presents none and counts as without. `publicKey` is the key of the hello, SubjectPublicKeyInfo in DER; `authorities` are the
 * certificates that sign, or once signed, for agents.
 */
export function judgeClientCertificate(mode: ClientAuth, shown: X509Certificate | undefined, publicKey: Buffer, authorities: readonly X509Certificate[], now: number): void {
  if (mode === 'none') return;
  if (shown === undefined) {
    if (mode === 'required') throw refusal('certificate_required', {});
    return;
  }
  const found = faultOf(shown, publicKey, authorities, now);
  if (found !== undefined) throw refusal('certificate_foreign', { found });
}

function faultOf(shown: X509Certificate, publicKey: Buffer, authorities: readonly X509Certificate[], now: number): string | undefined {
  if (!shown.publicKey.export({ format: 'der', type: 'spki' }).equals(publicKey)) return 'it is for another key than the one the agent signs with';
  if (!authorities.some((authority) => signedBy(shown, authority))) return `it is not issued by this Central, but by "${shown.issuer.replaceAll('\n', ', ')}"`;
  if (shown.ca || !shown.keyUsage?.includes(CLIENT_USAGE)) return 'it is no client certificate';
  if (shown.validFromDate.getTime() > now) return `it is valid from ${shown.validFrom} on only; Central's clock shows ${new Date(now).toISOString()}`;
  if (shown.validToDate.getTime() <= now) return `it expired on ${shown.validTo}`;
  return undefined;
}

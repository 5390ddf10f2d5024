// Validates a chain with our own code, one question at a time: the issuers, the names, the dates. OpenSSL stops at
// the first fault, and says of an untrusted expired certificate only that it expired (tried). TLS itself verifies the
// connections of the agent; this serves the doctor, which has to name the cause.
import type { X509Certificate } from 'node:crypto';
import { checkServerIdentity } from 'node:tls';
import { nameLine, subjectLine } from '../../shared/keystore/material.ts';
import type { CodedError } from '../../shared/errors.ts';
import { hasUnreadableDate, timeLine, validityOf } from '../../shared/x509/validity.ts';
import { targetName, type Target } from '../target.ts';
import { agentFault } from '../errors.ts';

export interface TrustPath {
  /** The certificate of the host, those that signed it, and the trusted one if there is one. */
  readonly path: readonly X509Certificate[];
  readonly anchor: X509Certificate | undefined;
}

const MAX_PATH = 10;

/**
 * From the first certificate of the chain, signature by signature, to one that is trusted. Dates do not matter here.
 */
export function trustPath(
  chain: readonly X509Certificate[],
  trusted: readonly X509Certificate[],
  now: Date,
): TrustPath {
  const [leaf] = chain;
  if (leaf === undefined) return { path: [], anchor: undefined };
  // Of two roots of one name and key (one renewed), the one that is valid now.
  const anchors = trusted.toSorted((one, other) => Number(isValid(other, now)) - Number(isValid(one, now)));
  const path = [leaf];
  for (let current = leaf; path.length < MAX_PATH;) {
    if (anchors.some((anchor) => anchor.raw.equals(current.raw))) return { path, anchor: current };
    const anchor = anchors.find((candidate) => signed(current, candidate));
    if (anchor !== undefined) return { path: [...path, anchor], anchor };
    const above = chain.find((candidate) => candidate.ca && !path.includes(candidate) && signed(current, candidate));
    if (above === undefined) break;
    path.push(above);
    current = above;
  }
  return { path, anchor: undefined };
}

function signed(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    // A key or a signature that OpenSSL does not read proves nothing.
    return false;
  }
}

export function isValid(certificate: X509Certificate, now: Date): boolean {
  const { from, to } = validityOf(certificate);
  return from <= now && now <= to;
}

/** The dialed host name or address has to be in the certificate. */
export function nameFault(leaf: X509Certificate, target: Target): CodedError | undefined {
  const error = checkServerIdentity(target.host, leaf.toLegacyObject());
  return error === undefined
    ? undefined
    : agentFault('tls_wrong_name', { target: targetName(target), host: target.host, names: namesOf(leaf) }, error);
}

/** Host names and addresses that a certificate is valid for, readable. */
export function namesOf(leaf: X509Certificate): string {
  return (
    leaf.subjectAltName ??
    (leaf.subject.includes('CN=') ? `${nameLine(leaf.subject)} (no alternative name)` : 'no name at all')
  );
}

/** Every certificate of the path has to be valid now. */
export function datesFault({ path }: TrustPath, target: Target, truststore: string, now: Date): CodedError | undefined {
  for (const [place, certificate] of path.entries()) {
    if (hasUnreadableDate(certificate)) return agentFault('tls_date_unreadable', { target: targetName(target) });
    const { from, to } = validityOf(certificate);
    const facts = { target: targetName(target), now: now.toISOString() };
    const authority = { ...facts, name: subjectLine(certificate), truststore };
    const expired = { date: timeLine(to) };
    const future = { date: timeLine(from) };
    if (to < now)
      return place === 0
        ? agentFault('tls_expired', { ...facts, ...expired })
        : agentFault('tls_authority_expired', { ...authority, ...expired });
    if (from > now)
      return place === 0
        ? agentFault('tls_not_yet_valid', { ...facts, ...future })
        : agentFault('tls_authority_not_yet_valid', { ...authority, ...future });
  }
  return undefined;
}

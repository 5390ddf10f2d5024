// Puts certificates into the order of a chain, and finds the faults of one. Checks neither names nor purposes: that is
// central/pki/server/validate.ts's and central/pki/authority/authority-file.ts's.
import type { X509Certificate } from 'node:crypto';
import { CodedError, type ProblemDetails } from '../../../shared/errors.ts';
import { nameLine, subjectLine } from '../../../shared/keystore/material.ts';
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PeculiarCertificate,
} from '../../../shared/x509/library.ts';
import { byExpiry, hasUnreadableDate, timeLine, validityOf } from '../../../shared/x509/validity.ts';
import { notice, type Notice } from '../../change/report.ts';
import { PKI_ERRORS } from '../errors.ts';
import { keyFault } from './key-algorithms.ts';

/** One fault of a certificate. */
export interface CertificateFault {
  readonly fault:
    | 'key_mismatch'
    | 'key_weak'
    | 'key_slow'
    | 'signature_weak'
    | 'chain_incomplete'
    | 'issuer_no_authority'
    | 'path_too_long'
    | 'date_unreadable'
    | 'not_yet_valid'
    | 'expired'
    | 'usage'
    | 'names_missing';
  /** The whole sentence, without its full stop. */
  readonly text: string;
}

/** `server_certificate_unfit` or `authority_unfit`, with every fault. */
export class CertificateFaults extends CodedError {
  readonly errors: readonly CertificateFault[];

  constructor(code: 'server_certificate_unfit' | 'authority_unfit', errors: readonly CertificateFault[]) {
    super(code, PKI_ERRORS[code], { found: errors.map(({ text }) => text).join('; ') });
    this.errors = errors;
  }

  override get problem(): ProblemDetails {
    const entries = this.errors.map(({ text }) => ({ pointer: '#', detail: `${text}.`, allowed: null, found: null }));
    return { entries };
  }
}

export interface BuiltChain {
  /** Leaf first; the last one is a root when `complete`. */
  readonly chain: readonly [X509Certificate, ...X509Certificate[]];
  readonly complete: boolean;
  /** For the administrator: what was done to it. */
  readonly notices: readonly Notice[];
}

/** No chain of a real authority is longer. */
const MAX_CHAIN = 10;

/** Certificates of one name whose signatures are tried; an authority renews its own a few times. */
const MAX_NAMESAKES = 20;

/**
 * Follows the issuers by signature, not by name alone: first among the uploaded certificates, then among the known
 * ones.
 */
export function buildChain(
  leaf: X509Certificate,
  uploaded: readonly X509Certificate[],
  known: readonly X509Certificate[],
): BuiltChain {
  const chain: [X509Certificate, ...X509Certificate[]] = [leaf];
  const added: X509Certificate[] = [];
  let last = leaf;
  while (!isSelfSigned(last) && chain.length < MAX_CHAIN) {
    const subject = last;
    const fromFile = issuerIn(uploaded, subject);
    const issuer = fromFile ?? issuerIn(known, subject);
    if (issuer === undefined) break;
    if (fromFile === undefined) added.push(issuer);
    chain.push(issuer);
    last = issuer;
  }
  const own = [...new Map(uploaded.map((certificate) => [certificate.fingerprint256, certificate])).values()];
  const names = new Set(chain.map(({ fingerprint256 }) => fingerprint256));
  const unused = own.filter(({ fingerprint256 }) => !names.has(fingerprint256));
  const order = own.map(({ fingerprint256 }) => fingerprint256).filter((name) => names.has(name));
  const notices = [
    ...(order.join() === [...names].filter((name) => order.includes(name)).join()
      ? []
      : [notice('chain_reordered', {})]),
    ...added.map((certificate) => notice('chain_completed', { subject: subjectLine(certificate) })),
    ...unused.map((certificate) => notice('certificate_unused', { subject: subjectLine(certificate) })),
  ];
  return { chain, complete: isSelfSigned(last), notices };
}

/** All faults of a chain as such: keys, signatures, dates, authorities, its end. */
export function chainFaults(
  { chain, complete }: Pick<BuiltChain, 'chain' | 'complete'>,
  now: number,
): CertificateFault[] {
  const faults: CertificateFault[] = [];
  const last = chain.at(-1) ?? chain[0];
  for (const [place, certificate] of chain.entries()) {
    const name = `"${subjectLine(certificate)}"`;
    const weak = keyFault(certificate.publicKey);
    if (weak !== undefined) faults.push({ fault: 'key_weak', text: `${name} is too weak: ${weak}` });
    // The signature of a root is not checked: it is trusted because it is known.
    const algorithm = certificate.signatureAlgorithm ?? 'an unknown algorithm';
    if (!isSelfSigned(certificate) && !/sha-?(224|256|384|512)|RSASSA-PSS/i.test(algorithm))
      faults.push({ fault: 'signature_weak', text: `${name} is signed with ${algorithm}; allowed is SHA-2` });
    if (hasUnreadableDate(certificate))
      faults.push({ fault: 'date_unreadable', text: `${name} has an unreadable date: every client refuses it` });
    const { from, to } = validityOf(certificate);
    if (from.getTime() > now)
      faults.push({ fault: 'not_yet_valid', text: `${name} is not valid before ${timeLine(from)}` });
    if (to.getTime() <= now) faults.push({ fault: 'expired', text: `${name} expired at ${timeLine(to)}` });
    if (place === 0) continue;
    const fault = authorityFault(certificate);
    if (fault !== undefined) faults.push({ fault: 'issuer_no_authority', text: `${name} ${fault}` });
    // RFC 5280 section 4.2.1.9: how many authorities may be between it and the leaf.
    const pathLength = allowsBelow(certificate);
    const below = chain.slice(0, place).filter((one) => isAuthority(one)).length;
    if (pathLength < below)
      faults.push({
        fault: 'path_too_long',
        text: `${name} allows ${pathLength} authorities below it, and there are ${below}`,
      });
  }
  if (!complete)
    faults.push({
      fault: 'chain_incomplete',
      text: `the chain ends at "${subjectLine(last)}", whose issuer "${nameLine(last.issuer)}" is missing: put it into the file`,
    });
  return faults;
}

/** Why a certificate may not sign others, as the end of a sentence; undefined when it may. */
export function authorityFault(certificate: X509Certificate): string | undefined {
  if (!isAuthority(certificate)) return 'is not a certificate authority (basic constraints)';
  const usages = new PeculiarCertificate(certificate.raw).getExtension(KeyUsagesExtension)?.usages;
  return usages !== undefined && (usages & KeyUsageFlags.keyCertSign) === 0
    ? 'may not sign certificates (key usage)'
    : undefined;
}

/** How many authorities may be between it and the leaf (RFC 5280 section 4.2.1.9). */
export function allowsBelow(certificate: X509Certificate): number {
  return (
    new PeculiarCertificate(certificate.raw).getExtension(BasicConstraintsExtension)?.pathLength ??
    Number.POSITIVE_INFINITY
  );
}

/** By its basic constraints; Node's own `ca` looks at the key usage too. */
export function isAuthority(certificate: X509Certificate): boolean {
  return new PeculiarCertificate(certificate.raw).getExtension(BasicConstraintsExtension)?.ca === true;
}

function isSelfSigned(certificate: X509Certificate): boolean {
  return signedBy(certificate, certificate);
}

/**
 * By name and signature. Node's checkIssued asks for the issuer's key usage too: that is a fault of its own
 * (authorityFault).
 */
export function signedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.issuer === issuer.subject && certificate.verify(issuer.publicKey);
  } catch {
    return false; // OpenSSL does not know the algorithm, so it cannot vouch for it
  }
}

/** Of several (an authority that renewed its certificate with the same key) the one that lives longest. */
function issuerIn(candidates: readonly X509Certificate[], certificate: X509Certificate): X509Certificate | undefined {
  const namesakes = candidates.filter(({ subject }) => subject === certificate.issuer).slice(0, MAX_NAMESAKES);
  return namesakes.filter((candidate) => signedBy(certificate, candidate)).toSorted(byExpiry)[0];
}

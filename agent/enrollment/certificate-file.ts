// Reads the file that "queuegate agents create" wrote: finds the role of each certificate, and names every fault. No
// network, no writing.
import type { X509Certificate } from 'node:crypto';
import { nameLine, parseCertificate, printableLine } from '../../shared/keystore/material.ts';
import { textOf } from '../../shared/errors.ts';
import { decodeBlock, PEM_LIMITS, pemBlocks, type PemBlock } from '../../shared/x509/pem.ts';
import { spkiOf } from '../../shared/x509/public-key.ts';
import { keyThumbprint } from '../../shared/wire/proof.ts';
import { agentIn, centralIn } from '../../shared/wire/names.ts';
import type { AgentKey } from '../identity/identity.ts';
import { trustPath } from '../trust/path.ts';

export interface CertificateFile {
  readonly id: string;
  /** The common name: of a name of more than 64 characters the beginning. */
  readonly name: string;
  /** Central's name. */
  readonly central: string;
  /** SubjectPublicKeyInfo of Central's signing key, DER, base64. */
  readonly signingKey: string;
  /** The agent's certificate and what stands between it and the root, PEM. */
  readonly certificate: string;
  /** What to trust, PEM. */
  readonly roots: string;
}

/** Extended key usages (RFC 5280 section 4.2.1.12). */
const CLIENT = '1.3.6.1.5.5.7.3.2';
const CODE_SIGNING = '1.3.6.1.5.5.7.3.3';

/** The parts of the file; or its faults, as sentences without a full stop. */
export function readCertificateFile(
  text: string,
  key: AgentKey,
  now: Date,
): CertificateFile | { readonly faults: readonly string[] } {
  let blocks: PemBlock[];
  try {
    blocks = [...pemBlocks(text, PEM_LIMITS)];
  } catch (error) {
    return { faults: [`unreadable: ${printableLine(textOf(error))}`] };
  }
  if (blocks.some(({ label }) => label.endsWith('PRIVATE KEY')))
    return { faults: ['key_inside: it holds a private key, which belongs on no way'] };
  const all = blocks
    .filter(({ label }) => label === 'CERTIFICATE')
    .map((block) => parseCertificate(decodeBlock(block) ?? Buffer.alloc(0)));
  if (all.includes(undefined))
    return { faults: [`unreadable: certificate ${all.indexOf(undefined) + 1} of ${all.length} cannot be read`] };
  const certificates = all.filter((certificate) => certificate !== undefined);
  const own = certificates.find((certificate) => agentIn(certificate) !== undefined);
  if (own === undefined)
    return {
      faults: [
        certificates.length === 0
          ? 'empty: there is no certificate in it'
          : 'usage: none of the certificates is one of an agent',
      ],
    };

  const faults: string[] = [];
  if (!own.checkPrivateKey(key.privateKey))
    faults.push(
      `key_mismatch: it is for the key sha256:${keyThumbprint(own.publicKey)}, the key of this machine is sha256:${key.thumbprint}`,
    );
  if (own.ca || !(own.keyUsage ?? []).includes(CLIENT))
    faults.push(`usage: "${nameLine(own.subject)}" is no certificate of a client`);
  const roots = certificates.filter((certificate) => isRoot(certificate));
  const authorities = certificates.filter((certificate) => certificate.ca);
  const { path, anchor } = trustPath([own, ...authorities], roots, now);
  const last = path.at(-1) ?? own;
  if (anchor === undefined)
    faults.push(
      `chain_incomplete: the chain ends at "${nameLine(last.subject)}", whose issuer "${nameLine(last.issuer)}" is missing`,
    );
  // The root, known by itself, may stand anywhere.
  else if (!path.slice(0, -1).every((certificate, place) => certificate === certificates[place]))
    faults.push(
      `order: the certificates do not stand in the order of the chain (${path.map(({ subject }) => `"${nameLine(subject)}"`).join(', then ')})`,
    );

  const signing = certificates.find((certificate) => centralIn(certificate) !== undefined);
  if (signing === undefined) faults.push("signing_missing: the certificate of Central's signing key is missing");
  const vouching = signing === undefined ? undefined : trustPath([signing, ...authorities], roots, now);
  if (signing !== undefined) {
    if (signing.ca || !(signing.keyUsage ?? []).includes(CODE_SIGNING))
      faults.push(`usage: "${nameLine(signing.subject)}" is no certificate of a signing key`);
    if (vouching?.anchor === undefined)
      faults.push(`chain_incomplete: nothing in it vouches for "${nameLine(signing.subject)}"`);
  }
  // Of what is used now: an earlier root may have ended.
  for (const certificate of new Set([...path, ...(vouching?.path ?? [])])) {
    const [name, from, to] = [`"${nameLine(certificate.subject)}"`, certificate.validFromDate, certificate.validToDate];
    if (from > now)
      faults.push(
        `not_yet_valid: ${name} is valid from ${from.toISOString()} on; the clock of this machine shows ${now.toISOString()}`,
      );
    if (to < now)
      faults.push(
        `expired: ${name} expired on ${to.toISOString()}; the clock of this machine shows ${now.toISOString()}`,
      );
  }
  if (faults.length > 0 || signing === undefined) return { faults };
  return {
    id: agentIn(own) ?? '',
    name: /(?:^|\n)CN=([^\n]+)/.exec(own.subject)?.[1] ?? '',
    central: centralIn(signing) ?? '',
    signingKey: spkiOf(signing.publicKey).toString('base64'),
    certificate: pem(path.filter((certificate) => !isRoot(certificate))),
    roots: pem(roots),
  };
}

function isRoot(certificate: X509Certificate): boolean {
  try {
    return certificate.subject === certificate.issuer && certificate.verify(certificate.publicKey);
  } catch {
    return false; // OpenSSL does not know the algorithm
  }
}

function pem(certificates: readonly X509Certificate[]): string {
  return certificates.map((certificate) => `${certificate.toString().trim()}\n`).join('');
}

// Reads the file that "queuegate agents create" wrote: finds the role of each certificate, and names every fault. No
// network, no writing.
import type { X509Certificate } from 'node:crypto';
import { nameLine, parseCertificate, printableLine } from '../../shared/keystore/material.ts';
import { textOf } from '../../shared/errors.ts';
import { decodeBlock, PEM_LIMITS, pemBlocks, type PemBlock } from '../../shared/x509/pem.ts';
import { spkiOf } from '../../shared/x509/public-key.ts';
import { keyThumbprint } from '../../shared/wire/proof.ts';
import { agentIn, centralIn } from '../../shared/wire/names.ts';
import { hasUnreadableDate, timeLine, validityOf } from '../../shared/x509/validity.ts';
import type { AgentKey } from '../identity/identity.ts';
import { trustPath } from '../trust/path.ts';

interface CertificateFile {
  readonly id: string;
  /** The common name: of a name of more than 64 characters the beginning. */
  readonly name: string;
  /** Central's name. */
  readonly central: string;
  /** SubjectPublicKeyInfo of Central's signing key, DER, base64. */
  readonly signingKey: string;
  /** The agent's certificate and the intermediates up to the root, PEM. */
  readonly certificate: string;
  /** What to trust, PEM. */
  readonly roots: string;
}

/** Extended key usages (RFC 5280 section 4.2.1.12). */
const CLIENT = '1.3.6.1.5.5.7.3.2';
const CODE_SIGNING = '1.3.6.1.5.5.7.3.3';

interface Faults {
  readonly faults: readonly string[];
}

/** The parts of the file; or its faults, as sentences without a full stop. */
export function readCertificateFile(text: string, key: AgentKey, now: Date): CertificateFile | Faults {
  const certificates = certificatesIn(text);
  if ('faults' in certificates) return certificates;
  const own = certificates.find((certificate) => agentIn(certificate) !== undefined);
  if (own === undefined) {
    const found =
      certificates.length === 0
        ? 'empty: it holds no certificate'
        : 'usage: none of the certificates is the certificate of an agent';
    return { faults: [found] };
  }
  const signing = certificates.find((certificate) => centralIn(certificate) !== undefined);
  const roots = certificates.filter((certificate) => isRoot(certificate));
  const authorities = certificates.filter((certificate) => certificate.ca);
  const { path, anchor } = trustPath([own, ...authorities], roots, now);
  const signingPath = signing === undefined ? undefined : trustPath([signing, ...authorities], roots, now);
  const faults = [
    ...ownFaults(own, key),
    ...chainFaults(path, anchor, certificates),
    ...signingFaults(signing, signingPath?.anchor),
    // Of what is used now: an earlier root may have expired.
    ...timeFaults(new Set([...path, ...(signingPath?.path ?? [])]), now),
  ];
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

function certificatesIn(text: string): readonly X509Certificate[] | Faults {
  let blocks: PemBlock[];
  try {
    blocks = [...pemBlocks(text, PEM_LIMITS)];
  } catch (error) {
    return { faults: [`unreadable: ${printableLine(textOf(error))}`] };
  }
  if (blocks.some(({ label }) => label.endsWith('PRIVATE KEY')))
    return { faults: ['key_inside: it holds a private key, which never leaves its machine'] };
  const all = blocks
    .filter(({ label }) => label === 'CERTIFICATE')
    .map((block) => parseCertificate(decodeBlock(block) ?? Buffer.alloc(0)));
  if (all.includes(undefined))
    return { faults: [`unreadable: certificate ${all.indexOf(undefined) + 1} of ${all.length} cannot be read`] };
  return all.filter((certificate) => certificate !== undefined);
}

function ownFaults(own: X509Certificate, key: AgentKey): string[] {
  const faults: string[] = [];
  if (!own.checkPrivateKey(key.privateKey))
    faults.push(
      `key_mismatch: it is for the key sha256:${keyThumbprint(own.publicKey)}, the key of this machine is sha256:${key.thumbprint}`,
    );
  if (own.ca || !(own.keyUsage ?? []).includes(CLIENT))
    faults.push(`usage: "${nameLine(own.subject)}" is not a client certificate`);
  return faults;
}

/** The chain of the agent's certificate, `path`, must end at a root and be in order. */
function chainFaults(
  path: readonly X509Certificate[],
  anchor: X509Certificate | undefined,
  certificates: readonly X509Certificate[],
): string[] {
  const last = path.at(-1);
  if (anchor === undefined)
    return [
      `chain_incomplete: the chain ends at "${nameLine(last?.subject ?? '')}", whose issuer "${nameLine(last?.issuer ?? '')}" is missing`,
    ];
  // The root, known by itself, may be anywhere.
  if (path.slice(0, -1).every((certificate, place) => certificate === certificates[place])) return [];
  const order = path.map(({ subject }) => `"${nameLine(subject)}"`).join(', then ');
  return [`order: the certificates are not in the order of the chain (${order})`];
}

function signingFaults(signing: X509Certificate | undefined, anchor: X509Certificate | undefined): string[] {
  if (signing === undefined) return ["signing_missing: the certificate of Central's signing key is missing"];
  const faults: string[] = [];
  if (signing.ca || !(signing.keyUsage ?? []).includes(CODE_SIGNING))
    faults.push(`usage: "${nameLine(signing.subject)}" is not the certificate of a signing key`);
  if (anchor === undefined)
    faults.push(`chain_incomplete: none of its certificates issued "${nameLine(signing.subject)}"`);
  return faults;
}

function timeFaults(used: ReadonlySet<X509Certificate>, now: Date): string[] {
  const clock = `the clock of this machine shows ${now.toISOString()}`;
  return [...used].flatMap((certificate) => {
    const name = `"${nameLine(certificate.subject)}"`;
    const { from, to } = validityOf(certificate);
    return [
      ...(hasUnreadableDate(certificate) ? [`date_unreadable: ${name} has an unreadable date`] : []),
      ...(from > now ? [`not_yet_valid: ${name} is valid from ${timeLine(from)} on; ${clock}`] : []),
      ...(to < now ? [`expired: ${name} expired on ${timeLine(to)}; ${clock}`] : []),
    ];
  });
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

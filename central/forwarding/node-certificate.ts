// The certificate of this node, by Central's authority: made at the start, renewed long before it ends, its key in memory
// only. And the check of the certificate that another node shows.
import type { X509Certificate } from 'node:crypto';
import { nodeIn, type NodeIdentity } from '../../shared/wire/names.ts';
import { validityOf } from '../../shared/x509/validity.ts';
import type { Authority } from '../pki/authority/authority.ts';
import { chainPem, privateKeyPem } from '../pki/x509/certificate.ts';
import { signedBy } from '../pki/x509/chain.ts';
import { makeKeyPair } from '../pki/x509/key-algorithms.ts';
import type { Credentials } from '../listeners/tls.ts';

/** A stolen one is of use until the node is started again, and never for longer than this. */
const LIFETIME_DAYS = 1;
/** RFC 5280 section 4.2.1.12, id-kp-serverAuth and id-kp-clientAuth. */
const USAGES = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'];

interface NodeCertificateOptions {
  readonly authority: Pick<Authority, 'chainOf' | 'current' | 'issueNode'>;
  readonly node: NodeIdentity;
  readonly now: () => number;
}

export class NodeCertificate {
  readonly #options: NodeCertificateOptions;
  #certificate: X509Certificate;
  #credentials: Credentials;

  private constructor(options: NodeCertificateOptions, made: Awaited<ReturnType<typeof make>>) {
    this.#options = options;
    this.#certificate = made.certificate;
    this.#credentials = made.credentials;
  }

  static async make(options: NodeCertificateOptions): Promise<NodeCertificate> {
    return new NodeCertificate(options, await make(options));
  }

  get credentials(): Credentials {
    return this.#credentials;
  }

  /** Renews it in the second half of its life, and after the authority has changed; true: there is a new one. */
  async renew(): Promise<boolean> {
    const { authority, now } = this.#options;
    const { from, to } = validityOf(this.#certificate);
    const isYoung = now() < (from.getTime() + to.getTime()) / 2;
    if (isYoung && signedBy(this.#certificate, authority.current().chain[0])) return false;
    const made = await make(this.#options);
    this.#certificate = made.certificate;
    this.#credentials = made.credentials;
    return true;
  }
}

async function make({ authority, node }: NodeCertificateOptions) {
  const { privateKey, publicKey } = await makeKeyPair();
  const certificate = await authority.issueNode({ node, publicKey, lifetimeDays: LIFETIME_DAYS });
  const credentials = { key: privateKeyPem(privateKey), chain: chainPem(authority.chainOf(certificate)) };
  return { certificate, credentials };
}

/**
 * The node that has this certificate, or why it is not that of a node. TLS has verified its chain and its dates: here is
 * asked that this Central has issued it, and for a node.
 */
export function nodeShown(
  certificate: X509Certificate | undefined,
  authority: Pick<Authority, 'generations'>,
): NodeIdentity | string {
  if (certificate === undefined) return 'no certificate was shown';
  const node = nodeIn(certificate);
  if (node === undefined || !USAGES.every((usage) => certificate.keyUsage?.includes(usage)))
    return 'the certificate is not that of a node';
  return authority.generations().some(({ chain }) => signedBy(certificate, chain[0]))
    ? node
    : 'the certificate is not issued by this Central';
}

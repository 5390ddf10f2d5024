// Owns Central's certificate authority: its root, made on first start and kept in the store, and what it signs.
// It keeps no agent's private key and never makes one; who may have a certificate is decided in enrolment.ts.
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { textOf } from '../../shared/errors.ts';
import { pinOf } from '../../shared/wire/enrolment.ts';
import { auditEntry, CENTRAL } from '../audit.ts';
import type { KeyMaterialStore } from '../store/store.ts';
import { alternativeName, commonName, makeCertificate, makeKeyPair, privateKeyPem, spkiOf, thumbprintOf } from './certificate.ts';
import { pkiFault } from './errors.ts';

/** Names in the store. */
const CERTIFICATE = 'authority.certificate';
const KEY = 'authority.key';
/** Twenty years: every agent trusts by it, and an authority that expires takes all of them along. Rotation comes long before. */
const ROOT_LIFETIME_DAYS = 20 * 365;

export interface Authority {
  readonly certificate: X509Certificate;
  /** The root as PEM: what keytool, KeyStore Explorer and agents are given. */
  readonly pem: string;
  /** `sha256:<hex>` over the root's public key; stands in the enrolment line. */
  readonly pin: string;
  /** A server certificate for these host names and addresses. Errors: distinguished_name_bad. */
  issueServer(order: { readonly subject: string; readonly names: readonly string[]; readonly publicKey: KeyObject; readonly lifetimeDays: number }): Promise<X509Certificate>;
  /** An agent's certificate: the id stands in the URI, the name may change. */
  issueAgent(order: { readonly id: string; readonly name: string; readonly publicKey: KeyObject; readonly lifetimeDays: number }): Promise<X509Certificate>;
}

export interface AuthorityOptions {
  readonly keyMaterial: KeyMaterialStore;
  /** Central's name, for the root's subject. */
  readonly central: string;
  readonly now: () => number;
}

/** Loads the authority, or makes it when the store has none. Errors: key_material_damaged. */
export async function openAuthority(options: AuthorityOptions): Promise<Authority> {
  const { keyMaterial, now } = options;
  const certificatePem = await keyMaterial.get(CERTIFICATE);
  const keyPem = await keyMaterial.get(KEY);
  if (certificatePem === undefined && keyPem === undefined) return await createAuthority(options);
  // One without the other is damage, not a first start: a new root would cut off every agent.
  if (certificatePem === undefined) throw pkiFault('key_material_damaged', { name: CERTIFICATE, found: 'it is missing' });
  if (keyPem === undefined) throw pkiFault('key_material_damaged', { name: KEY, found: 'it is missing' });
  let certificate: X509Certificate;
  let key: KeyObject;
  try {
    certificate = new X509Certificate(certificatePem);
    key = createPrivateKey(keyPem);
  } catch (error) {
    throw pkiFault('key_material_damaged', { name: CERTIFICATE, found: textOf(error) }, error);
  }
  if (!certificate.checkPrivateKey(key)) throw pkiFault('key_material_damaged', { name: KEY, found: 'it is not the key of the certificate' });
  return authorityOf(certificate, key, now);
}

async function createAuthority({ keyMaterial, central, now }: AuthorityOptions): Promise<Authority> {
  const { privateKey, publicKey } = await makeKeyPair();
  const certificate = await makeCertificate({
    profile: 'root',
    subject: `${commonName(`Queuegate root of ${central}`)}, O=Queuegate`,
    publicKey,
    lifetimeDays: ROOT_LIFETIME_DAYS,
    now: now(),
    selfKey: privateKey,
  });
  await keyMaterial.put(
    [
      { name: CERTIFICATE, value: certificate.toString() },
      { name: KEY, value: privateKeyPem(privateKey) },
    ],
    auditEntry(CENTRAL, 'authority.create', { thumbprint: thumbprintOf(certificate) }, now()),
  );
  return authorityOf(certificate, privateKey, now);
}

function authorityOf(certificate: X509Certificate, key: KeyObject, now: () => number): Authority {
  const issuer = { certificate, key };
  return {
    certificate,
    pem: `${certificate.toString().trim()}\n`,
    pin: pinOf(spkiOf(certificate.publicKey)),
    async issueServer({ subject, names, publicKey, lifetimeDays }) {
      return await makeCertificate({ profile: 'server', subject, publicKey, alternativeNames: names.map(alternativeName), lifetimeDays, now: now(), issuer });
    },
    async issueAgent({ id, name, publicKey, lifetimeDays }) {
      const uri = { type: 'url', value: `urn:queuegate:agent:${encodeURIComponent(id)}` } as const;
      return await makeCertificate({ profile: 'agent', subject: commonName(name), publicKey, alternativeNames: [uri], lifetimeDays, now: now(), issuer });
    },
  };
}

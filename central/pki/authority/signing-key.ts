// Keeps the key that Central signs its welcomes with, and its certificate by the authority. It is not a TLS key: agents
// learn it at enrollment and accept commands from no other peer, whatever certificate TLS shows.
import { createPrivateKey, createPublicKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { firstInPem } from '../../../shared/x509/certificates.ts';
import { textOf } from '../../../shared/errors.ts';
import { pinOf } from '../../../shared/wire/enrollment.ts';
import { centralIn } from '../../../shared/wire/names.ts';
import { validityOf } from '../../../shared/x509/validity.ts';
import { auditEntry, CENTRAL } from '../../audit.ts';
import type { KeyMaterialStore } from '../../store/key-material-store.ts';
import type { Authority } from './authority.ts';
import { chainPem, commonName, privateKeyPem, spkiOf, thumbprintOf } from '../x509/certificate.ts';
import { signedBy } from '../x509/chain.ts';
import { pkiFault } from '../errors.ts';
import { KeyMaterialSubject } from '../keys/subject.ts';
import { makeKeyPair } from '../x509/key-algorithms.ts';

const SUBJECT = 'signing';
const KEY = 'signing.key';
const CERTIFICATE = 'signing.certificate';
/** As the server certificate: renewed when a third of its life is left. */
const RENEW_WHEN_LEFT = 1 / 3;

export interface SigningKey {
  /** SubjectPublicKeyInfo, DER, base64: what agents keep. */
  readonly publicKey: string;
  /** SHA-256 of it, as `sha256:<hex>`, for people to compare. */
  readonly fingerprint: string;
  /** For `signTranscript` (shared/wire/proof.ts). */
  readonly key: KeyObject;
}

/** Loads the signing key, or creates it when the store has none. Errors: key_material_damaged. */
export async function openSigningKey(options: {
  readonly keyMaterial: KeyMaterialStore;
  readonly now: () => number;
}): Promise<SigningKey> {
  const keyMaterial = await KeyMaterialSubject.open(options.keyMaterial, SUBJECT);
  const stored = keyMaterial.get(KEY);
  if (stored !== undefined) {
    try {
      return signingKeyOf(createPrivateKey(stored));
    } catch (error) {
      throw pkiFault('key_material_damaged', { name: KEY, found: textOf(error) }, error);
    }
  }
  const { privateKey } = await makeKeyPair();
  await keyMaterial.put(
    [{ name: KEY, value: privateKeyPem(privateKey) }],
    auditEntry(CENTRAL, 'signing-key.create', {}, options.now()),
  );
  return signingKeyOf(privateKey);
}

function signingKeyOf(key: KeyObject): SigningKey {
  const spki = spkiOf(createPublicKey(key));
  return { publicKey: spki.toString('base64'), fingerprint: pinOf(spki), key };
}

export interface SigningCertificate {
  current(): X509Certificate;
  /** Leaf first, root last. */
  chain(): readonly X509Certificate[];
  /** Reissues it when it nears its end or another authority signs; true when it did. */
  renew(): Promise<boolean>;
  /** Another node may have reissued it. */
  follow(): Promise<void>;
}

interface SigningCertificateOptions {
  readonly keyMaterial: KeyMaterialStore;
  readonly authority: Authority;
  readonly signingKey: SigningKey;
  /** Central's name. */
  readonly central: string;
  /** Parameter `certificate.lifetimeDays`. */
  readonly lifetimeDays: () => number;
  readonly now: () => number;
}

/** Loads the signing key's certificate, or issues it. Errors: key_material_damaged. */
export async function openSigningCertificate(options: SigningCertificateOptions): Promise<SigningCertificate> {
  const { authority, signingKey, central, lifetimeDays, now } = options;
  const keyMaterial = await KeyMaterialSubject.open(options.keyMaterial, SUBJECT);

  async function make(before: X509Certificate | undefined): Promise<X509Certificate> {
    const publicKey = createPublicKey(signingKey.key);
    const made = await authority.issueSigning({
      subject: `${commonName(`${central} signing`)}, O=Queuegate`,
      publicKey,
      lifetimeDays: lifetimeDays(),
    });
    const detail = { thumbprint: thumbprintOf(made), before: before === undefined ? null : thumbprintOf(before) };
    await keyMaterial.put(
      [{ name: CERTIFICATE, value: chainPem([made]) }],
      auditEntry(CENTRAL, 'signing-certificate.create', detail, now()),
    );
    return made;
  }

  function fits(certificate: X509Certificate): boolean {
    const [from, to] = [validityOf(certificate).from.getTime(), validityOf(certificate).to.getTime()];
    return (
      from <= now() &&
      to - now() > (to - from) * RENEW_WHEN_LEFT &&
      certificate.checkPrivateKey(signingKey.key) &&
      centralIn(certificate) === central &&
      signedBy(certificate, authority.certificate)
    );
  }

  const stored = keyMaterial.get(CERTIFICATE);
  let kept: X509Certificate | undefined;
  try {
    kept = stored === undefined ? undefined : firstInPem(stored);
  } catch (error) {
    throw pkiFault('key_material_damaged', { name: CERTIFICATE, found: textOf(error) }, error);
  }
  let current = kept !== undefined && fits(kept) ? kept : await make(kept);
  return {
    current: () => current,
    chain: () => authority.chainOf(current),
    async renew() {
      if (fits(current)) return false;
      current = await make(current);
      return true;
    },
    async follow() {
      const text = (await keyMaterial.load()) ? keyMaterial.get(CERTIFICATE) : undefined;
      if (text !== undefined) current = firstInPem(text);
    },
  };
}

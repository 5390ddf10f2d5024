// One authority and one server certificate for the peers that have none of their own; made like Central's (ECDSA
// P-256).
import { alternativeName, chainPem, makeCertificate, privateKeyPem } from '../central/pki/x509/certificate.ts';
import { makeKeyPair } from '../central/pki/x509/key-algorithms.ts';

export interface Credentials {
  /** PEM of the server's key. */
  readonly key: string;
  /** Leaf first, root last. */
  readonly chain: string;
  readonly root: string;
}

export async function makeCredentials(): Promise<Credentials> {
  const now = Date.now();
  const [authority, server] = [await makeKeyPair(), await makeKeyPair()];
  const root = await makeCertificate({
    profile: 'root',
    subject: 'CN=Bench authority',
    publicKey: authority.publicKey,
    selfKey: authority.privateKey,
    lifetimeDays: 2,
    now,
  });
  const leaf = await makeCertificate({
    profile: 'server',
    subject: 'CN=localhost',
    publicKey: server.publicKey,
    issuer: { certificate: root, key: authority.privateKey },
    alternativeNames: [alternativeName('localhost')],
    lifetimeDays: 1,
    now,
  });
  return { key: privateKeyPem(server.privateKey), chain: chainPem([leaf, root]), root: chainPem([root]) };
}

// Makes the certificate signing request (PKCS#10, RFC 2986) that an agent enrolls with. Loads @peculiar/x509, and only
// then.
import { createPublicKey, webcrypto } from 'node:crypto';
import { spkiOf } from '../../shared/x509/public-key.ts';
import { agentUri } from '../../shared/wire/names.ts';
import type { AgentKey } from '../identity/identity.ts';

const ECDSA_P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;

/**
 * The request contains name and id, and proves that the agent holds the key: no one else can use another name with it.
 */
export async function makeRequest(
  key: AgentKey,
  name: string,
  id?: string,
): Promise<{ readonly pem: string; readonly der: Buffer }> {
  const { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } =
    await import('../../shared/x509/library.ts');
  const { subtle } = webcrypto;
  const pkcs8 = key.privateKey.export({ format: 'der', type: 'pkcs8' });
  const spki = new Uint8Array(spkiOf(createPublicKey(key.privateKey)));
  const keys = {
    privateKey: await subtle.importKey('pkcs8', pkcs8, ECDSA_P256, false, ['sign']),
    publicKey: await subtle.importKey('spki', spki, ECDSA_P256, true, ['verify']),
  };
  const names = [
    { type: 'dns' as const, value: name },
    ...(id === undefined ? [] : [{ type: 'url' as const, value: agentUri(id) }]),
  ];
  const request = await Pkcs10CertificateRequestGenerator.create({
    // X.520 bounds a common name to 64 characters; the whole name is among the alternative names.
    name: [{ CN: [name.slice(0, 64)] }],
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [new SubjectAlternativeNameExtension(names)],
  });
  return { pem: `${request.toString('pem').trim()}\n`, der: Buffer.from(request.rawData) };
}

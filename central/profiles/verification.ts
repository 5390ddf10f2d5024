// Tries whether an agent that trusts these certificates would accept Central: a TLS handshake in memory with the
// certificate that Central shows, so that the answer is that of TLS and not of a second implementation.
import { duplexPair } from 'node:stream';
import { connect, createSecureContext, TLSSocket } from 'node:tls';
import { textOf } from '../../shared/errors.ts';
import type { ServerCredentials } from '../pki/server/slots.ts';

/** Why it would not; undefined: it would. */
export async function verificationFault(
  { key, chain, names }: Pick<ServerCredentials, 'chain' | 'key' | 'names'>,
  trusted: readonly Buffer[],
): Promise<string | undefined> {
  if (trusted.length === 0) return 'its truststore has no certificates';
  const [near, far] = duplexPair();
  const server = new TLSSocket(far, { isServer: true, secureContext: createSecureContext({ key, cert: chain }) });
  // The client's answer counts.
  server.on('error', () => undefined);
  const host = names[0] ?? 'localhost';
  const ca = trusted.map(
    (der) => `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`,
  );
  try {
    return await new Promise<string | undefined>((resolve) => {
      const client = connect({ socket: near, host, ca });
      client.once('secureConnect', () => resolve(undefined));
      client.once('error', (error) => resolve(textOf(error)));
      client.once('close', () => resolve('the handshake was not completed'));
    });
  } finally {
    near.destroy();
    far.destroy();
  }
}

// Tries whether an agent that trusts these certificates would accept Central: a TLS handshake in memory with the
// certificate that Central shows, so that the answer is that of TLS and not of a second implementation.
import { duplexPair } from 'node:stream';
import { connect, createSecureContext, TLSSocket, type SecureContext } from 'node:tls';
import { Breather } from '../../shared/breather.ts';
import { textOf } from '../../shared/errors.ts';
import { pemOf } from '../../shared/x509/pem.ts';
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
  try {
    const secureContext = await contextTrusting(trusted);
    return await new Promise<string | undefined>((resolve) => {
      const client = connect({ socket: near, host, secureContext });
      client.once('secureConnect', () => resolve(undefined));
      client.once('error', (error) => resolve(textOf(error)));
      client.once('close', () => resolve('the handshake was not completed'));
    });
  } finally {
    near.destroy();
    far.destroy();
  }
}

/** Of its `context`, which Node.js leaves untyped. */
interface NativeContext {
  addCACert(pem: string): void;
}

/** OpenSSL sorts its certificates again with each that is added: thousands are some 100 ms, which are made in slices. */
async function contextTrusting([first, ...others]: readonly Buffer[]): Promise<SecureContext> {
  // Without `ca` it would trust the roots that come with Node.js.
  const secureContext = createSecureContext({ ca: first === undefined ? [] : [pemOf('CERTIFICATE', first)] });
  const native = secureContext.context as NativeContext;
  const breather = new Breather();
  for (const der of others) {
    native.addCACert(pemOf('CERTIFICATE', der));
    await breather.pause();
  }
  return secureContext;
}

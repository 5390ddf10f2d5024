// After the switch Central shows one chain to everybody. Real peers look at it: Node, openssl s_client, and Java with a
// truststore that keytool made; each once with the old root only, once with the new one only, and with a stranger's.
import { spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CENTRAL } from '../../../../central/audit.ts';
import { openAuthority, type AuthorityMaterial } from '../../../../central/pki/authority/authority.ts';
import { chainPem, privateKeyPem } from '../../../../central/pki/x509/certificate.ts';
import { makeKeyPair } from '../../../../central/pki/x509/key-algorithms.ts';
import { memoryStore } from '../../fakes.ts';
import { QUICK_JAVA } from '../../../shared/keystore/peers.ts';
import { keytool } from '../server/bank.ts';
import { openssl, temporaryFolder, type Folder } from '../folder.ts';
import { importCertificate } from '../../../tool-arguments.ts';

const DIAL = `import javax.net.ssl.*;
public class Dial {
  public static void main(String[] arguments) throws Exception {
    SSLSocket socket = (SSLSocket) SSLSocketFactory.getDefault().createSocket("localhost", Integer.parseInt(arguments[0]));
    SSLParameters parameters = socket.getSSLParameters();
    parameters.setEndpointIdentificationAlgorithm("HTTPS");
    socket.setSSLParameters(parameters);
    socket.startHandshake();
    System.out.println("verified");
  }
}
`;

/** Asynchronously: the server they talk to runs in this process. */
async function output(program: string, ...args: string[]): Promise<string> {
  const child = spawn(program, args);
  child.stdin.end();
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await once(child, 'close');
  return text;
}

function houseRoot(folder: Folder): AuthorityMaterial {
  openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    folder.path('house.key'),
    '-subj',
    '/CN=House Root',
    '-days',
    '300',
    '-addext',
    'keyUsage=critical,keyCertSign,cRLSign',
    '-out',
    folder.path('house.crt'),
  );
  return {
    key: createPrivateKey(openssl('pkey', '-in', folder.path('house.key'))),
    chain: [new X509Certificate(openssl('x509', '-in', folder.path('house.crt')))],
    origin: 'imported',
  };
}

describe('the chain that is shown between switch and retirement', () => {
  it.each(['issued', 'imported'] as const)(
    'verifies with the old root and with the new one, which was %s, and with no other',
    async (origin) => {
      const folder = temporaryFolder();
      const authority = await openAuthority({
        keyMaterial: memoryStore().keyMaterial,
        central: 'central.test',
        now: Date.now,
      });
      const [old] = authority.current().chain;
      const { id } = await authority.prepare(
        origin === 'issued' ? await authority.makeRoot() : houseRoot(folder),
        CENTRAL,
      );
      await authority.certify(id, CENTRAL);
      await authority.promote(id, CENTRAL);
      const { privateKey, publicKey } = await makeKeyPair();
      const leaf = await authority.issueServer({
        subject: 'CN=localhost',
        names: ['localhost'],
        publicKey,
        lifetimeDays: 10,
      });
      const server = createServer(
        { key: privateKeyPem(privateKey), cert: chainPem(authority.shownChainOf(leaf)) },
        (socket) => socket.on('error', () => undefined).resume(),
      );
      await once(server.listen(0, '127.0.0.1'), 'listening');
      onTestFinished(() => void server.close());
      const port = String((server.address() as AddressInfo).port);
      await output('javac', folder.write('Dial.java', DIAL));
      const other = (
        await openAuthority({ keyMaterial: memoryStore().keyMaterial, central: 'central.test', now: Date.now })
      ).certificate;

      const seen: Record<string, readonly boolean[]> = {};
      for (const [name, root] of Object.entries({ old, new: authority.certificate, other })) {
        const file = folder.write(`${name}.pem`, root.toString());
        const store = folder.path(`${name}.jks`);
        keytool(...importCertificate({ file, store, type: 'JKS', alias: 'root' }));
        const socket = connect({ port: Number(port), host: 'localhost', ca: root.toString() });
        const node = await once(socket, 'secureConnect').then(
          () => socket.authorized,
          () => false, // refused: it shows no chain to this root
        );
        socket.destroy();
        const byOpenssl = await output(
          'openssl',
          's_client',
          '-connect',
          `localhost:${port}`,
          '-CAfile',
          file,
          '-no-CApath',
          '-no-CAstore',
          '-brief',
        );
        const java = await output(
          'java',
          ...QUICK_JAVA,
          `-Djavax.net.ssl.trustStore=${store}`,
          '-Djavax.net.ssl.trustStorePassword=changeit',
          '-cp',
          folder.path('.'),
          'Dial',
          port,
        );
        seen[name] = [node, byOpenssl.includes('Verification: OK'), java.includes('verified')];
      }
      expect(seen).toEqual({ old: [true, true, true], new: [true, true, true], other: [false, false, false] });
    },
    60_000,
  );
});

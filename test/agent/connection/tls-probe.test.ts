// What a probe of a TLS port sees, that it says nothing, and what it makes of ports that are not one.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions, type TLSSocket } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { probeTls, shownChain } from '../../../agent/connection/tls-probe.ts';
import { firstInPem } from '../../../shared/x509/certificates.ts';

const folder = 'test/fixtures/keystores';
const credentials = {
  key: readFileSync(`${folder}/central.key`, 'utf8'),
  cert: readFileSync(`${folder}/central.crt`, 'utf8'),
};
const PATIENT = { timeoutMs: 30_000 };

async function listening(
  server: ReturnType<typeof createServer>,
): Promise<{ secure: true; host: string; port: number }> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { secure: true, host: '127.0.0.1', port: (server.address() as AddressInfo).port };
}

/** A TLS server, and what it hears. */
async function secured(options: TlsOptions = {}) {
  const heard = { data: 0, ended: Promise.withResolvers<void>() };
  const server = createTlsServer({ ...credentials, ...options }, (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => (heard.data += chunk.length));
    socket.on('end', () => heard.ended.resolve());
  });
  return { target: await listening(server), heard };
}

async function plain(onConnection: (socket: Socket) => void) {
  return await listening(
    createServer((socket) => {
      socket.on('error', () => undefined);
      onTestFinished(() => void socket.destroy());
      onConnection(socket);
    }),
  );
}

describe('a probe of a TLS port', () => {
  test('sees its certificate, version and suite; it sends nothing, and ends the connection in order', async () => {
    const { target, heard } = await secured();
    const { chain, protocol, cipher } = await probeTls(target, PATIENT);
    expect(chain.map(({ fingerprint256 }) => fingerprint256)).toEqual([firstInPem(credentials.cert).fingerprint256]);
    expect([protocol, cipher]).toEqual(['TLSv1.3', expect.stringMatching(/^TLS_/)]);
    await heard.ended.promise;
    expect(heard.data).toBe(0);
  });

  test('of an older version is refused, unless it is what the probe looks for', async () => {
    const { target } = await secured({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' });
    await expect(probeTls(target, PATIENT)).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_SSL_/) });
    expect(await probeTls(target, { ...PATIENT, oldest: 'TLSv1' })).toMatchObject({ protocol: 'TLSv1.2' });
  });
});

describe('a probe of another port', () => {
  test('that says nothing ends in its time', async () => {
    const target = await plain(() => undefined);
    await expect(probeTls(target, { timeoutMs: 100 })).rejects.toThrow('the TLS handshake has timed out');
  });

  test('that hangs up, or does not speak TLS, fails at once', async () => {
    const closes = await plain((socket) => socket.once('data', () => socket.end()));
    await expect(probeTls(closes, PATIENT)).rejects.toMatchObject({ code: 'ECONNRESET' });
    const speaks = await plain((socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')));
    await expect(probeTls(speaks, PATIENT)).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_SSL_/) });
  });
});

describe('a chain that a host shows', () => {
  const leaf = firstInPem(credentials.cert);
  /** As Node gives it: each with its issuer. */
  const showing = (first: object): TLSSocket =>
    ({ getPeerCertificate: (whole: boolean) => (whole ? first : {}) }) as unknown as TLSSocket;

  test('ends at a certificate that is its own issuer', () => {
    const root: { raw: Buffer; issuerCertificate?: object } = { raw: leaf.raw };
    root.issuerCertificate = root;
    expect(shownChain(showing({ raw: leaf.raw, issuerCertificate: root }))).toHaveLength(2);
  });

  test('ends after ten certificates, at one that cannot be read, and where nothing is shown', () => {
    let many: object = { raw: leaf.raw };
    for (let i = 0; i < 30; i += 1) many = { raw: leaf.raw, issuerCertificate: many };
    expect(shownChain(showing(many))).toHaveLength(10);
    const unreadable = { raw: Buffer.from('no certificate'), issuerCertificate: { raw: leaf.raw } };
    expect(shownChain(showing({ raw: leaf.raw, issuerCertificate: unreadable }))).toHaveLength(1);
    expect(shownChain(showing({}))).toEqual([]);
  });
});

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTlsServer, swapCredentials } from '../../../central/listeners/tls.ts';

const keystores = 'test/fixtures/keystores';
const credentials = {
  key: readFileSync(`${keystores}/central.key`, 'utf8'),
  chain: readFileSync(`${keystores}/central.crt`, 'utf8'),
};
const server = createTlsServer(credentials, 5000);

beforeAll(async () => {
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => server.close());

/** What openssl agreed on with the server: `TLSv1.3 TLS_AES_...`, or `refused`. */
async function agreed(...options: string[]): Promise<string> {
  const text = await client('', '-brief', ...options);
  const version = /Protocol version: (\S+)/.exec(text)?.[1];
  return version === undefined ? 'refused' : `${version} ${/Ciphersuite: (\S+)/.exec(text)?.[1] ?? ''}`;
}

/** All that openssl says when `input` is typed into it. */
async function client(input: string, ...options: string[]): Promise<string> {
  const { port } = server.address() as AddressInfo;
  return await new Promise((resolve) => {
    const child = execFile(
      'openssl',
      [
        's_client',
        '-connect',
        `127.0.0.1:${port}`,
        '-CAfile',
        `${keystores}/root-ec.crt`,
        '-verify_return_error',
        ...options,
      ],
      { timeout: 10_000 },
      (_error, stdout, stderr) => resolve(`${stdout}\n${stderr}`),
    );
    child.stdin?.end(input);
  });
}

describe('the TLS of Central, asked by openssl', () => {
  it('is 1.3 where the client can, and 1.2 for tools that cannot', async () => {
    expect(await agreed()).toMatch(/^TLSv1\.3 TLS_AES_/);
    expect(await agreed('-tls1_2')).toMatch(/^TLSv1\.2 ECDHE-ECDSA-AES128-GCM-SHA256$/);
  });

  it('is never older', async () => {
    for (const version of ['-tls1', '-tls1_1'])
      expect(await agreed(version, '-cipher', 'ALL:@SECLEVEL=0')).toBe('refused');
  });

  it('takes no suite without forward secrecy or without AEAD', async () => {
    for (const suite of [
      'AES128-GCM-SHA256',
      'AES256-SHA256',
      'ECDHE-ECDSA-AES128-SHA',
      'ECDHE-ECDSA-AES128-SHA256',
      'ECDHE-ECDSA-AES256-SHA384',
      'DHE-RSA-AES128-GCM-SHA256',
      'NULL-SHA256',
    ]) {
      expect([suite, await agreed('-tls1_2', '-cipher', `${suite}:@SECLEVEL=0`)]).toEqual([suite, 'refused']);
    }
  });

  it('takes no key exchange that costs a multiple of the others, before and after a swap', async () => {
    for (const swapped of [false, true]) {
      if (swapped) swapCredentials(server, credentials);
      for (const group of ['X25519', 'P-256', 'P-384'])
        expect([group, await agreed('-groups', group)]).toEqual([group, expect.stringMatching(/^TLSv1\.3 /)]);
      for (const group of ['P-521', 'X448', 'ffdhe2048', 'ffdhe3072'])
        expect([group, await agreed('-groups', group)]).toEqual([group, 'refused']);
    }
  });

  it('does no handshake a second time in one connection, before and after a swap', async () => {
    for (const swapped of [false, true]) {
      if (swapped) swapCredentials(server, credentials);
      // "R" asks for it; s_client ends when it is refused.
      expect(await client('R\n', '-tls1_2')).toMatch(/RENEGOTIATING[^]*no renegotiation/);
    }
  });

  it('shows another certificate from the next handshake on, once it was swapped', async () => {
    swapCredentials(server, credentials);
    expect(await agreed()).toMatch(/^TLSv1\.3/);
  });
});

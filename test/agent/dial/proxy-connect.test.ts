// A connection through an HTTP proxy: what it sends, what it gets, and the name of each way in which a proxy refuses.
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { openLine } from '../../../agent/dial/line.ts';
import type { Proxy } from '../../../agent/dial/proxy-settings.ts';

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const act of cleanup.splice(0)) await act();
});

/** A proxy that gives one answer to everything, or none; what it received. */
async function proxyThat(answer: string | undefined, then: (socket: Socket) => void = () => undefined) {
  const received: string[] = [];
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', (request) => {
      received.push(request.toString());
      if (answer !== undefined) socket.write(answer);
      then(socket);
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanup.push(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return { received, port: (server.address() as AddressInfo).port };
}

function lineThrough(port: number, change: Partial<Proxy> = {}, timeoutMs = 10_000): Promise<Socket> {
  const login = { user: undefined, password: undefined, passwordFile: undefined };
  const proxy = { host: '127.0.0.1', port, ...login, origin: 'central.proxy', ...change };
  return openLine({ host: 'central.example', port: 9150, proxy }, { timeoutMs });
}

async function failure(answer: string | undefined, change: Partial<Proxy> = {}, timeoutMs?: number) {
  const { port } = await proxyThat(answer);
  const error: unknown = await lineThrough(port, change, timeoutMs).then(
    () => 'a line',
    (reason: unknown) => reason,
  );
  return error as { code: string; message: string; hint: string };
}

describe('a line through a proxy', () => {
  it('is asked for with CONNECT, and carries what both ends say', async () => {
    const { port, received } = await proxyThat('HTTP/1.1 200 Connection established\r\n\r\n', (socket) =>
      socket.once('data', (bytes) => socket.end(`got ${bytes.toString()}`)),
    );
    const line = await lineThrough(port);
    line.write('hello');
    expect(String((await once(line, 'data'))[0])).toBe('got hello');
    expect(received[0]).toMatch(/^CONNECT central\.example:9150 HTTP\/1\.1\r\nhost: central\.example:9150\r\n/i);
    expect(received[0]).not.toMatch(/authorization/i);
    line.destroy();
  });

  it('logs in with the user and the password of the file, which is read each time', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'qg-proxy-'));
    cleanup.push(() => rm(folder, { recursive: true }));
    const passwordFile = join(folder, 'password');
    const { port, received } = await proxyThat('HTTP/1.1 200 OK\r\n\r\n');
    for (const password of ['first', 'ö:second ']) {
      await writeFile(passwordFile, `${password}\r\n`);
      (await lineThrough(port, { user: 'bank', passwordFile })).destroy();
      const sent = /proxy-authorization: Basic (\S+)/i.exec(received.at(-1) ?? '')?.[1] ?? '';
      expect(Buffer.from(sent, 'base64').toString()).toBe(`bank:${password}`);
    }
    await rm(passwordFile);
    await expect(lineThrough(port, { user: 'bank', passwordFile })).rejects.toMatchObject({ code: 'file_missing' });
  });
});

describe('a proxy that does not connect is named, with its reason', () => {
  it('does not listen', async () => {
    const { port } = await proxyThat('');
    for (const act of cleanup.splice(0)) await act();
    await expect(lineThrough(port)).rejects.toMatchObject({
      code: 'proxy_unreachable',
      message: `The proxy 127.0.0.1:${port} (central.proxy) cannot be reached: nothing listens there.`,
    });
  });

  it('has a name that cannot be resolved', async () => {
    const error: unknown = await lineThrough(1, { host: 'proxy.invalid' }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 'proxy_unreachable',
      message: expect.stringContaining('its name proxy.invalid cannot be resolved'),
    });
  });

  it('wants a login, or another one, and offers its schemes', async () => {
    const answer =
      'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 2\r\n\r\nno';
    expect(await failure(answer)).toMatchObject({
      code: 'proxy_login_required',
      message: expect.stringMatching(/: no user is configured; it offers NTLM.*\.$/),
    });
    const refused = await failure(answer, { user: 'bank', password: 'top-secret' });
    expect(refused).toMatchObject({
      code: 'proxy_login_required',
      message: expect.stringContaining('the user "bank" or its password was refused'),
      hint: expect.stringContaining('central.proxy.passwordFile'),
    });
    expect(JSON.stringify(refused) + refused.message).not.toContain('top-secret');
  });

  it.each([
    ['401 Unauthorized', '', 'proxy_login_required'],
    ['403 Forbidden', '', 'proxy_forbids'],
    ['405 Method Not Allowed', '', 'proxy_forbids'],
    ['502 Bad Gateway', '', 'proxy_target_unreachable'],
    ['503 Service Unavailable', 'X-Squid-Error: ERR_CONNECT_FAIL 111\r\n', 'proxy_target_unreachable'],
    ['503 Service Unavailable', 'X-Squid-Error: ERR_DNS_FAIL 0\r\n', 'proxy_host_unknown'],
    ['504 Gateway Timeout', '', 'proxy_target_unreachable'],
    ['500 Unable to connect', '', 'proxy_target_unreachable'],
    ['301 Moved', '', 'proxy_answer_bad'],
  ])('HTTP %s %s is %s', async (status, header, code) => {
    const found = await failure(`HTTP/1.1 ${status}\r\n${header}Content-Length: 0\r\n\r\n`);
    expect(found).toMatchObject({ code, retryable: true });
    expect(found.message).toContain(`HTTP ${status.slice(0, 3)}`);
  });

  it('is something else, or speaks before Central could', async () => {
    expect(await failure('SSH-2.0-OpenSSH_9.6\r\n')).toMatchObject({ code: 'proxy_answer_bad' });
    expect(await failure('HTTP/1.1 200 OK\r\n\r\n<html>')).toMatchObject({ code: 'proxy_answer_bad' });
    expect(await failure(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)).toMatchObject({
      code: 'proxy_answer_bad',
    });
  });

  it('never answers', async () => {
    expect(await failure(undefined, {}, 100)).toMatchObject({
      code: 'proxy_target_unreachable',
      message: expect.stringContaining('it did not answer CONNECT in time'),
    });
  });
});

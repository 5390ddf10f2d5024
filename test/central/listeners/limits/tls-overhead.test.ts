// TLS records without data, from a real client (openssl sends key updates when "K" is typed), and data in the smallest
// records.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { TlsOverhead } from '../../../../central/listeners/limits/tls-overhead.ts';
import { createTlsServer } from '../../../../central/listeners/tls.ts';

const folder = 'test/fixtures/keystores';
const credentials = {
  key: readFileSync(`${folder}/central.key`, 'utf8'),
  chain: readFileSync(`${folder}/central.crt`, 'utf8'),
};

/** A TLS server whose connections are watched. */
async function listen() {
  const overhead = new TlsOverhead();
  const tls = createTlsServer(credentials, 10_000);
  const seen = { floods: [] as number[], data: 0 };
  const server = createServer((carrier) => {
    carrier.on('error', () => undefined);
    tls.emit('connection', carrier);
    tls.once('secureConnection', (socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => (seen.data += chunk.length));
      overhead.watch(carrier, socket, (bytes) => seen.floods.push(bytes));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { port: (server.address() as AddressInfo).port, seen };
}

describe('TLS records without data', () => {
  test('a flood of key updates ends the connection', async () => {
    const { port, seen } = await listen();
    const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    onTestFinished(() => void client.kill());
    client.stdin.on('error', () => undefined);
    // Each is read by itself: more of them at once are one.
    const typing = setInterval(() => client.stdin.write('K\n'), 1);
    await once(client, 'close');
    clearInterval(typing);
    expect(seen).toEqual({ floods: [expect.any(Number)], data: 0 });
    expect(seen.floods[0]).toBeGreaterThan(16 * 1024);
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('data in records of one byte goes on (%s)', async (version) => {
    const { port, seen } = await listen();
    const socket = connect({
      port,
      host: '127.0.0.1',
      servername: 'localhost',
      ca: readFileSync(`${folder}/root-ec.crt`),
      minVersion: version,
      maxVersion: version,
    });
    socket.on('error', () => undefined).setNoDelay(true);
    onTestFinished(() => void socket.destroy());
    await once(socket, 'secureConnect');
    // Several times what may come without data; and longer than a check takes.
    const until = performance.now() + 600;
    for (let sent = 0; sent < 4_000 || performance.now() < until; sent += 1)
      await new Promise((resolve) => socket.write('x', resolve));
    expect([seen.floods, socket.destroyed, seen.data > 1_000]).toEqual([[], false, true]);
  });
});

describe('the address of a flood', () => {
  test('begins its TLS handshakes a second apart for ten seconds; other addresses wait for nothing', () => {
    let now = 0;
    const overhead = new TlsOverhead(() => now);
    expect(overhead.delayOf('a')).toBe(0);
    overhead.slowDown('a');
    expect([overhead.delayOf('a'), overhead.delayOf('a'), overhead.delayOf('b')]).toEqual([1_000, 2_000, 0]);
    now = 5_000;
    expect(overhead.delayOf('a')).toBe(1_000);
    // Another flood goes on behind the handshakes that wait already.
    overhead.slowDown('a');
    expect(overhead.delayOf('a')).toBe(2_000);
    now = 15_000;
    expect(overhead.delayOf('a')).toBe(0);
    // What is over is forgotten.
    overhead.slowDown('b');
    expect(overhead.delayOf('a')).toBe(0);
  });
});

// What strangers on the same host (other accounts, pages in a browser) can take from the local API: a small share of
// their own, and nothing of what programs with a token have.
import { EventEmitter } from 'node:events';
import { createServer, IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { ReadTurns, type ReadTurn } from '../../../shared/http/read-turns.ts';
import { LOCAL_LIMITS, RequestQueue, WrongTokens } from '../../../agent/local-api/connections.ts';
import { until } from '../../flow/processes.ts';
import { ask, bearer, endAll, Line, openApi } from './parts.ts';

afterEach(endAll);

const HALF = 'POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nX-Half: ';

describe('strangers at the local API', () => {
  it.each([
    ['silent', ''],
    ['half-open', HALF],
  ])('with 300 %s connections do not keep a program with a token out, nor take its places', async (_kind, sent) => {
    // With room for one program only: a stranger that took a place of theirs would show.
    const { port, token } = await openApi({ limits: { connections: 1, newcomerMs: 600_000 } });
    const strangers = await Promise.all(Array.from({ length: 300 }, () => new Line(port, sent).connected()));
    for (let i = 0; i < 20; i += 1) expect((await ask(port, 'GET /api/v1/status', bearer(token))).status).toBe(200);
    await until(() => strangers.filter(({ socket }) => !socket.destroyed).length <= 128);
  });

  it('are thrown out after their time, whatever they send slowly', async () => {
    const { port } = await openApi({ limits: { newcomerMs: 100 } });
    const silent = new Line(port);
    const slow = new Line(port, HALF);
    const dripping = setInterval(() => slow.socket.write('x'), 10);
    await Promise.all([silent.closed, slow.closed]);
    clearInterval(dripping);
    expect([silent.socket.destroyed, slow.socket.destroyed]).toEqual([true, true]);
  });

  it('are not asked for a body, and what they send of it ends with the connection', async () => {
    const { port } = await openApi();
    const expecting = new Line(
      port,
      'POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n',
    );
    await expecting.closed;
    expect(expecting.received).toMatch(/^HTTP\/1\.1 401 /);
    const endless = new Line(
      port,
      'POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    await endless.closed;
    expect(endless.received).toMatch(/^HTTP\/1\.1 401 [^]*www-authenticate: Bearer/i);
  });

  it('are refused at the price of their header: the body that came along in the same packet is not made', async () => {
    const enter = vi.spyOn(ReadTurns.prototype, 'enter');
    onTestFinished(() => enter.mockRestore());
    const { port } = await openApi();
    const line = new Line(port);
    const socket = await until(() => enter.mock.calls[0]?.[0]);
    const { parser } = socket as unknown as { parser: Record<number, unknown> & { constructor: { kOnBody: number } } };
    const onBody = vi.fn<() => void>();
    const made = parser[parser.constructor.kOnBody];
    parser[parser.constructor.kOnBody] = onBody;
    // Node uses the parser again, for other connections of the process.
    onTestFinished(() => void (parser[parser.constructor.kOnBody] = made));
    line.socket.write(
      `POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\na\r\n'.repeat(500)}`,
    );
    await line.closed;
    expect(line.received).toMatch(/^HTTP\/1\.1 401 /);
    expect(onBody).not.toHaveBeenCalled();
  });

  it('with wrong tokens lose the connection each time, are slowed down, and cost one line of the log', async () => {
    let now = 1_000_000;
    const { port, lines } = await openApi({ ports: { now: () => now } });
    for (let i = 0; i < 20; i += 1)
      expect((await ask(port, 'GET /api/v1/status', { ...bearer('wrong'), connection: 'keep-alive' })).status).toBe(
        401,
      );
    await Promise.all(Array.from({ length: 30 }, () => ask(port, 'GET /api/v1/status', bearer('wrong'))));
    const reported = (): unknown[] =>
      lines.filter(({ text }) => text.includes('wrong token')).map(({ facts }) => facts);
    expect(reported()).toEqual([{ count: 1 }]);
    now += 60_000;
    await ask(port, 'GET /api/v1/status', bearer('wrong'));
    expect(reported()).toEqual([{ count: 1 }, { count: 50 }]);
  });

  it('with wrong tokens that leave before the refusal are held no longer', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const wrong = new WrongTokens(
      () => 1_000_000,
      () => undefined,
    );
    for (let i = 0; i < 20; i += 1) wrong.add();
    const responses = Array.from({ length: 50 }, () => Object.assign(new EventEmitter(), { closed: false }));
    const held = responses.map((response) => wrong.slow(response as unknown as ServerResponse));
    expect(vi.getTimerCount()).toBe(50);
    for (const response of responses) response.emit('close');
    await Promise.all(held);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('with wrong tokens are answered at once 20 times in 10 seconds, and a second later after that', () => {
    let now = 1_000_000;
    const wrong = new WrongTokens(
      () => now,
      () => undefined,
    );
    const delays = (): number[] => Array.from({ length: 25 }, () => wrong.add());
    const expected = [...Array.from({ length: 20 }, () => 0), ...Array.from({ length: 5 }, () => 1000)];
    expect(delays()).toEqual(expected);
    now += 10_000;
    expect(delays()).toEqual(expected);
    // A clock that was set back begins again.
    now -= 1_000_000;
    expect(delays()).toEqual(expected);
  });

  it('in a browser are refused even with the token: by a foreign Host (DNS rebinding), by Origin and by Sec-Fetch-Site', async () => {
    const { port, token } = await openApi();
    for (const headers of [
      { host: 'evil.example' },
      { host: `evil.example:${port}` },
      { host: '127.0.0.1.evil.example' },
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site' },
    ]) {
      const { status, text } = await ask(port, 'GET /api/v1/status', { ...bearer(token), ...headers });
      expect([headers, status]).toEqual([headers, 403]);
      expect(text).toContain('local_browser_refused');
    }
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, 'localhost', `[::1]:${port}`])
      expect((await ask(port, 'GET /api/v1/status', { ...bearer(token), host })).status).toBe(200);
  });
});

it('a packet of a thousand requests becomes a few, whatever the answer would be, and ends its connection', async () => {
  for (const request of [
    'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n',
  ]) {
    let made = 0;
    class Counted extends IncomingMessage {
      constructor(socket: Socket) {
        super(socket);
        made += 1;
      }
    }
    const server = createServer({ IncomingMessage: Counted }).on(
      'connection',
      (socket: Socket) => void new RequestQueue(socket, LOCAL_LIMITS),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const line = new Line((server.address() as AddressInfo).port, request.repeat(1_000));
    await line.closed;
    // With the one that was one too many.
    expect(made).toBeLessThanOrEqual(LOCAL_LIMITS.pipelined + 2);
  }
});

describe('a program with a token', () => {
  it('that pipelines requests without reading is closed after few of them', async () => {
    let asked = 0;
    const { promise: never } = Promise.withResolvers<Record<string, unknown>>();
    const { port, token } = await openApi({ ports: { status: () => ((asked += 1), never) } });
    const line = new Line(
      port,
      `GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`.repeat(500),
    );
    await line.closed;
    expect(asked).toBe(1);
  });

  it('that does not read its answers holds a bounded number of bytes, over all connections', async () => {
    let taken = 0;
    const json = JSON.stringify({ type: 't', data: 'x'.repeat(8_000_000) });
    const { port, token } = await openApi({
      limits: { unreadBytes: 20_000_000 },
      ports: { take: async () => ((taken += 1), [{ cursor: 1, json }]) },
    });
    const request = `GET /api/v1/commands HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`;
    const lines = Array.from({ length: 30 }, () => {
      const line = new Line(port, request.repeat(4));
      line.socket.pause();
      return line;
    });
    await until(() => taken === 3);
    expect((await ask(port, 'GET /api/v1/commands', bearer(token))).text).toMatch(/^HTTP\/1\.1 503 [^]*local_busy/);
    expect(taken).toBe(3);
    // Once they are gone there is room again.
    for (const { socket } of lines) socket.destroy();
    await until(async () => (await ask(port, 'GET /api/v1/commands', bearer(token))).status === 200);
  });

  it('that does not read an answer within its time loses the connection', async () => {
    const json = JSON.stringify({ type: 't', data: 'x'.repeat(8_000_000) });
    const { port, token } = await openApi({
      limits: { readMs: 100, unreadBytes: 1 },
      ports: { take: async () => [{ cursor: 1, json }] },
    });
    const line = new Line(
      port,
      `GET /api/v1/commands HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    );
    line.socket.pause();
    await until(async () => (await ask(port, 'GET /api/v1/commands', bearer(token))).status === 503);
    expect(
      await until(async () =>
        (await ask(port, 'GET /api/v1/commands', bearer(token))).status === 200 ? 200 : undefined,
      ),
    ).toBe(200);
  });

  it('gets 503 above the bounds of connections, waiting requests and announced bodies', async () => {
    const { port, token, dataFolder } = await openApi({ limits: { connections: 3, waiting: 1, bodyBytes: 1000 } });
    const head = (start: string, more = ''): string =>
      `${start} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n${more}\r\n`;
    const waiting = new Line(port, head('GET /api/v1/commands?waitSeconds=55'));
    await until(async () => (await ask(port, 'GET /api/v1/commands?waitSeconds=1', bearer(token))).status === 503);
    const sending = new Line(port, head('POST /api/v1/events', 'Content-Length: 900\r\n'));
    await until(
      async () =>
        (await ask(port, 'POST /api/v1/events', bearer(token), JSON.stringify({ type: 't', data: 'x'.repeat(300) })))
          .status === 503,
    );
    const third = new Line(port, head('GET /api/v1/status'));
    await until(() => third.received.includes('200 OK'));
    expect((await ask(port, 'GET /api/v1/status', bearer(token))).text).toContain('3 connections are open');
    // The commands of the owner have places of their own.
    expect((await ask(join(dataFolder, 'local-api.sock'), 'GET /api/v1/status')).status).toBe(200);
    for (const { socket } of [waiting, sending, third]) socket.destroy();
    await until(async () => (await ask(port, 'GET /api/v1/status', bearer(token))).status === 200);
  });
});

it('connections are read in turns, those with authority in a block of their own, until they are closed', async () => {
  const entered: string[] = [];
  const enter = vi.spyOn(ReadTurns.prototype, 'enter');
  onTestFinished(() => enter.mockRestore());
  const { port, token } = await openApi();
  const line = new Line(port);
  await until(() => enter.mock.calls.length === 1);
  line.socket.write(`GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  await until(() => line.received.includes('200 OK'));
  for (const [, block] of enter.mock.calls) entered.push(block);
  expect(entered).toEqual(['strangers', 'programs']);
  const turns = enter.mock.results.map(({ value }) => vi.spyOn(value as ReadTurn, 'leave'));
  line.socket.destroy();
  await until(() => turns[1]?.mock.calls.length === 1);
});

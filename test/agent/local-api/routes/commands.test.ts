// Commands as server-sent events: all that is not acknowledged, then each as it comes, until the token or the daemon
// ends.
import { afterEach, describe, expect, it } from 'vitest';
import { until } from '../../../flow/processes.ts';
import { ask, bearer, endAll, Line, openApi, type ApiSetting } from '../parts.ts';

afterEach(endAll);

async function start(setting: ApiSetting = {}) {
  const commands: { cursor: number; json: string }[] = [];
  const delivered: string[] = [];
  const waiting = new Set<() => void>();
  const opened = await openApi({
    consumers: [{ name: 'printer' }],
    ...setting,
    ports: {
      take: async (_consumer, max, after = 0) => commands.filter(({ cursor }) => cursor > after).slice(0, max),
      deliver: async (consumer, through) => void delivered.push(`${consumer} ${through}`),
      lastCursor: () => commands.at(-1)?.cursor ?? 0,
      waitForCommands: (_consumer, _timeoutMs, signal) =>
        new Promise<void>((resolve) => {
          waiting.add(resolve);
          signal.addEventListener('abort', () => resolve());
        }),
      ...setting.ports,
    },
  });
  const wake = (): void => {
    for (const resolve of waiting) resolve();
    waiting.clear();
  };
  const add = (...added: { cursor: number; json: string }[]): void => {
    commands.push(...added);
    wake();
  };
  const stream = (token = opened.token): Line =>
    new Line(
      opened.port,
      `GET /api/v1/commands HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nLast-Event-ID: 2\r\n${Object.entries(
        bearer(token),
      )
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join('')}\r\n`,
    );
  return { ...opened, commands, delivered, add, wake, stream };
}

/** What the client read, without headers and chunks. */
function eventsIn({ received }: Line): string {
  return received.slice(received.indexOf('\r\n\r\n') + 4).replaceAll(/\r?\n?[0-9a-f]+\r\n|\r\n/g, '');
}

describe('a stream of commands', () => {
  it('begins with all that is not acknowledged, whatever Last-Event-ID says, and goes on with each that comes', async () => {
    const { add, delivered, stream } = await start();
    add({ cursor: 1, json: '{"type":"a"}' }, { cursor: 2, json: '{\n "type":"b"}' });
    const line = stream();
    await until(() => eventsIn(line).includes('id: 2'));
    add({ cursor: 3, json: '{"type":"c"}' });
    await until(() => eventsIn(line).includes('id: 3'));
    expect(line.received).toMatch(/^HTTP\/1\.1 200 [^]*content-type: text\/event-stream/i);
    expect(eventsIn(line)).toBe(
      [
        'retry: 2000\n\n',
        'id: 1\nevent: command\ndata: {"type":"a"}\n\n',
        'id: 2\nevent: command\ndata: {\ndata:  "type":"b"}\n\n',
        'id: 3\nevent: command\ndata: {"type":"c"}\n\n',
      ].join(''),
    );
    expect(delivered).toEqual(['default 2', 'default 3']);
  });

  it('says a comment when nothing came', async () => {
    const { wake, stream } = await start();
    const line = stream();
    await until(() => line.received.includes('retry'));
    await until(() => {
      wake();
      return eventsIn(line).includes(':\n\n:');
    });
    expect(eventsIn(line)).toMatch(/^retry: 2000\n\n(:\n\n)+$/);
  });

  it('ends with a problem when the daemon stops', async () => {
    const { api, stream } = await start();
    const line = stream();
    await until(() => line.received.includes('retry'));
    await api.stop();
    await line.closed;
    expect(eventsIn(line)).toMatch(/event: end\ndata: \{[^\n]*"code":"local_stopping"/);
  });

  it('ends with a problem when its token ends', async () => {
    let now = Date.parse('2026-11-22T10:00:00Z');
    const { dataFolder, stream, wake } = await start({ ports: { now: () => now } });
    const line = stream();
    await until(() => line.received.includes('retry'));
    const { rotateToken } = await import('../../../../agent/local-api/client.ts');
    expect(await rotateToken(dataFolder, 'default')).toMatchObject({ kind: 'done' });
    now += 86_400_000;
    await until(() => {
      wake();
      return line.received.includes('event: end');
    });
    expect(eventsIn(line)).toMatch(/event: end\ndata: \{[^\n]*"code":"local_unauthorized"/);
  });

  it('of a client that does not read ends in its time, and what it held is free again', async () => {
    const json = JSON.stringify({ type: 't', data: 'x'.repeat(8_000_000) });
    const { port, token, stream } = await start({
      limits: { readMs: 100, unreadBytes: 1 },
      ports: { take: async () => [{ cursor: 1, json }] },
    });
    const line = stream();
    line.socket.pause();
    const status = async (): Promise<number> => (await ask(port, 'GET /api/v1/commands', bearer(token))).status;
    await until(async () => (await status()) === 503);
    expect(await until(async () => ((await status()) === 200 ? 200 : undefined))).toBe(200);
  });
});

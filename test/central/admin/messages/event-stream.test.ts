// Events as server-sent events: from a cursor on, each as it comes, until the token ends or the client stops reading.
import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import { fastify } from 'fastify';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CodedError } from '../../../../shared/errors.ts';
import { sendStream } from '../../../../central/admin/messages/event-stream.ts';
import { agentRecord } from '../../fakes.ts';
import { startRest, type Rest } from '../rest.ts';
import { cursorAt, positionIn } from '../../../event-cursors.ts';

/** Opens a stream; `until` reads on until the text so far matches. */
async function open(rest: Rest, path: string, headers: Record<string, string> = {}) {
  const abort = new AbortController();
  const response = await fetch(`${rest.url}/api/v1${path}`, {
    headers: { authorization: `Bearer ${rest.tokens.viewer}`, accept: 'text/event-stream', ...headers },
    signal: abort.signal,
  });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  return {
    response,
    abort: () => abort.abort(),
    async until(pattern: RegExp): Promise<string> {
      while (!pattern.test(text)) {
        const { value, done } = (await reader?.read()) ?? { value: undefined, done: true };
        if (done) throw new Error(`the stream ended: ${text}`);
        text += value;
      }
      return text;
    },
  };
}

const ids = (text: string): number[] =>
  Array.from(text.matchAll(/^id: (\S+)\nevent: event$/gm), ([, id = '']) => positionIn(id));

const untilAt = (stream: Awaited<ReturnType<typeof open>>, position: number): Promise<string> =>
  stream.until(new RegExp(`^id: ${cursorAt(position)}\nevent`, 'm'));

describe('a stream of events', () => {
  it('begins behind the cursor and goes on with each event, whose item is that of a page', async () => {
    const rest = await startRest();
    for (const id of ['1', '2']) rest.events.push('a', { id, type: 't' });
    const stream = await open(rest, `/events?after=${cursorAt(1)}`);
    expect(stream.response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    await stream.until(new RegExp(`^id: ${cursorAt(2)}\nevent: event\n`, 'm'));
    rest.events.push('a', { id: '3', type: 't' });
    const text = await stream.until(new RegExp(`^id: ${cursorAt(3)}\nevent: event\ndata: .*\n\n`, 'm'));
    expect(text.startsWith(`retry: 2000\nid: ${cursorAt(1)}\n\n`)).toBe(true);
    expect(ids(text)).toEqual([2, 3]);
    const page = (await (await rest.request('GET', `/events?after=${cursorAt(2)}`)).json()) as {
      readonly items: unknown[];
    };
    const data = JSON.parse(/^id: \S+\nevent: event\ndata: (.*"id":"3".*)$/m.exec(text)?.[1] ?? '') as unknown;
    expect([data]).toEqual(page.items);
    stream.abort();
  });

  it('goes on after Last-Event-ID, which wins over after; another one is refused', async () => {
    const rest = await startRest();
    for (const id of ['1', '2', '3']) rest.events.push('a', { id, type: 't' });
    const stream = await open(rest, '/events?after=oldest', { 'last-event-id': cursorAt(2) });
    expect(ids(await stream.until(/event: event/))).toEqual([3]);
    stream.abort();
    const refused = await open(rest, '/events', { 'last-event-id': '2' });
    expect(refused.response.status).toBe(400);
    expect(await refused.until(/\}$/)).toMatch(/"code":"cursor_invalid".*"header":"Last-Event-ID"/);
  });

  it('has only events of agents with the labels, as a page has', async () => {
    const rest = await startRest();
    rest.agents.push(
      { ...agentRecord({ id: 'north', name: 'north' }), labels: { region: 'north' } },
      { ...agentRecord({ id: 'south', name: 'south' }), labels: { region: 'south' } },
    );
    for (const agent of ['south', 'north', 'south', 'deleted', 'north']) rest.events.push(agent, { type: 't' });
    const stream = await open(rest, '/events?label=region%3Dnorth');
    expect(ids(await stream.until(new RegExp(`^id: ${cursorAt(5)}\nevent`, 'm')))).toEqual([2, 5]);
    stream.abort();
    const page = await rest.request('GET', '/events?label=region%3Dnorth&limit=1');
    expect(await page.json()).toMatchObject({ items: [{ cursor: cursorAt(2) }], next: cursorAt(2) });
    const none = await rest.request('GET', '/events?label=region%3Dwest');
    expect(await none.json()).toEqual({ items: [], next: cursorAt(5) });
  });

  it('ends with a problem when its token is deleted, and when events were pruned before they were read', async () => {
    const rest = await startRest();
    rest.events.push('a', { type: 't' });
    const stream = await open(rest, '/events');
    await stream.until(/event: event/);
    const id = /^qg_(\w{16})_/.exec(rest.tokens.viewer)?.[1] ?? '';
    expect((await rest.request('DELETE', `/api-tokens/${id}`)).status).toBe(204);
    // At once, without an event.
    expect(await stream.until(/event: end\n.*\n/)).toMatch(/event: end\ndata: \{.*"code":"unauthenticated"/);

    const other = await startRest();
    other.events.push('a', { type: 't' });
    const late = await open(other, '/events');
    await late.until(/event: event/);
    other.events.pruned = 2;
    other.events.push('a', { type: 't' });
    expect(await late.until(/event: end\n.*\n/)).toMatch(
      new RegExp(`"code":"cursor_expired".*"resumeAfter":"${cursorAt(2)}"`),
    );
  });

  it('ends when the address of its client is not allowed any more, for its role', async () => {
    const rest = await startRest();
    rest.events.push('a', { type: 't' });
    const stream = await open(rest, '/events');
    await stream.until(/event: event/);
    expect((await rest.request('PATCH', '/parameters', { body: { 'access.viewer.deny': ['127.0.0.1'] } })).status).toBe(
      200,
    );
    rest.events.push('a', { type: 't' });
    const text = await stream.until(/event: end\n.*\n/);
    expect(text).toMatch(/"code":"address_denied","title":"Address denied","status":403/);
    expect(ids(text)).toEqual([1]);
  });

  it('has from then on what a scope leaves that its token gets, by the labels of that time', async () => {
    const rest = await startRest();
    const labeled = (id: string, region: string) => ({ ...agentRecord({ id, name: id }), labels: { region } });
    rest.agents.push(labeled('n', 'north'), labeled('s', 'south'));
    const stream = await open(rest, '/events');
    for (const agent of ['n', 's']) rest.events.push(agent, { type: 't' });
    await untilAt(stream, 2);
    const id = /^qg_(\w{16})_/.exec(rest.tokens.viewer)?.[1] ?? '';
    const scope = 'label:region=north';
    expect((await rest.request('PATCH', `/api-tokens/${id}`, { body: { scope } })).status).toBe(200);
    for (const agent of ['s', 'n', 'deleted']) rest.events.push(agent, { type: 't' });
    await untilAt(stream, 4);
    rest.agents.splice(0, 2, labeled('n', 'south'), labeled('s', 'north'));
    for (const agent of ['n', 's']) rest.events.push(agent, { type: 't' });
    expect(ids(await untilAt(stream, 7))).toEqual([1, 2, 4, 7]);
    stream.abort();
  });

  it('ends when its token expires, not later', async () => {
    const rest = await startRest();
    const stream = await open(rest, '/events');
    await stream.until(/retry/);
    const id = /^qg_(\w{16})_/.exec(rest.tokens.viewer)?.[1] ?? '';
    const [entry] = rest.store.audit.entries as [(typeof rest.store.audit.entries)[number]];
    await rest.store.tokens.changeApiToken(id, { expiresAt: Date.now() + 50 }, null, entry);
    rest.streams.look();
    expect(await stream.until(/event: end\n.*\n/)).toMatch(/"code":"unauthenticated"/);
  });

  it('ends with a problem when Central stops, and a request that waits is answered', async () => {
    const rest = await startRest();
    const stream = await open(rest, '/events');
    const waiting = rest.request('GET', '/events?waitSeconds=55');
    await expect.poll(() => rest.events.waiting).toBe(2);
    const stopped = rest.streams.stop(5_000);
    expect(await stream.until(/event: end\n.*\n/)).toMatch(/"code":"central_stopping",.*"status":503/);
    expect(await (await waiting).json()).toEqual({ items: [], next: cursorAt(0) });
    await stopped;
    const late = await open(rest, '/events');
    expect(await late.until(/event: end\n.*\n/)).toContain('central_stopping');
  });

  it('is woken no more often than its pace, however often events are committed', async () => {
    const app = fastify();
    let reads = 0;
    app.get('/', (_request, reply) =>
      sendStream(reply, '0', {
        // Another one has always been committed, and does not fit.
        read: async () => ({ text: '', next: String((reads += 1)) }),
        wait: async () => undefined,
        async recheck() {
          if (reads >= 6) throw new CodedError('over', { text: 'over', hint: '' }, {});
          return null;
        },
        looking: () => new AbortController().signal,
        enter: async () => () => undefined,
        isAnswer: (error): error is CodedError => error instanceof CodedError,
        paceMs: () => 20,
      }),
    );
    onTestFinished(() => app.close());
    const startedAt = performance.now();
    const { body } = await app.inject('/');
    expect(body).toContain('event: end');
    expect(performance.now() - startedAt).toBeGreaterThan(4 * 19);
  });

  it('waits for no client that has left', async () => {
    const rest = await startRest();
    const stream = await open(rest, '/events');
    await stream.until(/retry/);
    await expect.poll(() => rest.events.waiting).toBe(1);
    stream.abort();
    await expect.poll(() => rest.events.waiting).toBe(0);
  });

  it('has a text that counts for its token until its client has taken it, or is gone', async () => {
    const app = fastify();
    let [held, isRead] = [0, false];
    app.get('/:name', (request, reply) => {
      let text = 'x'.repeat(16 * 1024 * 1024);
      return sendStream(reply, '0', {
        async enter() {
          held += 1;
          return () => (held -= 1);
        },
        async read(after) {
          const part = { text, next: after };
          if (request.url !== '/reads') return part;
          isRead = text === '';
          text = '';
          return part;
        },
        wait: async (_after, signal) => void (signal.aborted || (await once(signal, 'abort'))),
        recheck: async () => null,
        looking: () => new AbortController().signal,
        isAnswer: (error): error is never => error === undefined,
      });
    });
    onTestFinished(() => app.close());
    await app.listen({ port: 0, host: '127.0.0.1' });
    const { port } = app.server.address() as AddressInfo;
    const dial = (path: string) => {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined);
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      onTestFinished(() => void socket.destroy());
      return socket;
    };
    const silent = dial('/silent').pause();
    await expect.poll(() => held).toBe(1);
    dial('/reads').resume();
    await expect.poll(() => isRead).toBe(true);
    await expect.poll(() => held).toBe(1);
    silent.destroy();
    await expect.poll(() => held).toBe(0);
  });

  it('is cut when its client does not take what is ready, and says a comment with the cursor when nothing comes', async () => {
    const app = fastify();
    let isQuiet = false;
    const closed = new Promise<void>((resolve) => {
      app.get('/', (_request, reply) => {
        reply.raw.once('close', resolve);
        return sendStream(reply, '0', {
          read: async (after) => ({ text: isQuiet ? '' : 'x'.repeat(1024 * 1024), next: after }),
          wait: async (_after, signal) => void (signal.aborted || (await once(signal, 'abort'))),
          recheck: async () => null,
          looking: () => new AbortController().signal,
          enter: async () => () => undefined,
          isAnswer: (error): error is never => error === undefined,
          readMs: 50,
          commentMs: 5,
        });
      });
    });
    onTestFinished(() => app.close());
    await app.listen({ port: 0, host: '127.0.0.1' });
    const { port } = app.server.address() as AddressInfo;
    const socket = connect(port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    socket.pause().on('error', () => undefined);
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await expect(closed).resolves.toBeUndefined();

    isQuiet = true;
    const reader = (await fetch(`http://127.0.0.1:${port}/`)).body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    const comment = ':\nid: 0\n\n';
    while (!text.includes(comment)) text += (await reader?.read())?.value ?? '';
    expect(text.startsWith(`retry: 2000\nid: 0\n\n${comment}`)).toBe(true);
    await reader?.cancel();
  });
});

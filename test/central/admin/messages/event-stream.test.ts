// Events as server-sent events: from a cursor on, each as it comes, until the token ends or the client stops reading.
import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import { fastify } from 'fastify';
import { describe, expect, it, onTestFinished } from 'vitest';
import { sendEvents } from '../../../../central/admin/messages/event-stream.ts';
import { agentRecord } from '../../fakes.ts';
import { startRest, type Rest } from '../rest.ts';

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

const ids = (text: string): string[] => Array.from(text.matchAll(/^id: (\d+)\nevent: event$/gm), ([, id = '']) => id);

describe('a stream of events', () => {
  it('begins behind the cursor and goes on with each event, whose item is that of a page', async () => {
    const rest = await startRest();
    for (const id of ['1', '2']) rest.events.push('a', { id, type: 't' });
    const stream = await open(rest, '/events?after=1');
    expect(stream.response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    await stream.until(/^id: 2\nevent: event\n/m);
    rest.events.push('a', { id: '3', type: 't' });
    const text = await stream.until(/^id: 3\nevent: event\ndata: .*\n\n/m);
    expect(text.startsWith('retry: 2000\nid: 1\n\n')).toBe(true);
    expect(ids(text)).toEqual(['2', '3']);
    const page = (await (await rest.request('GET', '/events?after=2')).json()) as { readonly items: unknown[] };
    const data = JSON.parse(/^id: 3\nevent: event\ndata: (.*)$/m.exec(text)?.[1] ?? '') as unknown;
    expect([data]).toEqual(page.items);
    stream.abort();
  });

  it('goes on after Last-Event-ID, which wins over after; another one is refused', async () => {
    const rest = await startRest();
    for (const id of ['1', '2', '3']) rest.events.push('a', { id, type: 't' });
    const stream = await open(rest, '/events?after=oldest', { 'last-event-id': '2' });
    expect(ids(await stream.until(/event: event/))).toEqual(['3']);
    stream.abort();
    const refused = await open(rest, '/events', { 'last-event-id': 'x' });
    expect(refused.response.status).toBe(400);
    expect(await refused.until(/\}$/)).toContain('"header":"Last-Event-ID"');
  });

  it('has only events of agents with the labels, as a page has', async () => {
    const rest = await startRest();
    rest.agents.push(
      { ...agentRecord({ id: 'north', name: 'north' }), labels: { region: 'north' } },
      { ...agentRecord({ id: 'south', name: 'south' }), labels: { region: 'south' } },
    );
    for (const agent of ['south', 'north', 'south', 'deleted', 'north']) rest.events.push(agent, { type: 't' });
    const stream = await open(rest, '/events?label=region%3Dnorth');
    expect(ids(await stream.until(/^id: 5\nevent/m))).toEqual(['2', '5']);
    stream.abort();
    const page = await rest.request('GET', '/events?label=region%3Dnorth&limit=1');
    expect(await page.json()).toMatchObject({ items: [{ cursor: 2 }], next: 2 });
    const none = await rest.request('GET', '/events?label=region%3Dwest');
    expect(await none.json()).toEqual({ items: [], next: 5 });
  });

  it('ends with a problem when its token is deleted, and when events were pruned before they were read', async () => {
    const rest = await startRest();
    rest.events.push('a', { type: 't' });
    const stream = await open(rest, '/events');
    await stream.until(/event: event/);
    const id = /^qg_(\w{16})_/.exec(rest.tokens.viewer)?.[1] ?? '';
    expect((await rest.request('DELETE', `/api-tokens/${id}`)).status).toBe(204);
    rest.events.push('a', { type: 't' });
    expect(await stream.until(/event: end\n.*\n/)).toMatch(/event: end\ndata: \{.*"code":"unauthenticated"/);

    const other = await startRest();
    other.events.push('a', { type: 't' });
    const late = await open(other, '/events');
    await late.until(/event: event/);
    other.events.pruned = 2;
    other.events.push('a', { type: 't' });
    expect(await late.until(/event: end\n.*\n/)).toMatch(/"code":"cursor_expired".*"resumeAfter":2/);
  });

  it('waits for no client that has left', async () => {
    const rest = await startRest();
    const stream = await open(rest, '/events');
    await stream.until(/retry/);
    await expect.poll(() => rest.events.waiting).toBe(1);
    stream.abort();
    await expect.poll(() => rest.events.waiting).toBe(0);
  });

  it('is cut when its client does not take what is ready, and says a comment with the cursor when nothing comes', async () => {
    const app = fastify();
    const event = { cursor: 1, agentId: 'a', incarnation: 'i', number: 1, receivedAt: 1, json: '{}' };
    let isQuiet = false;
    const closed = new Promise<void>((resolve) => {
      app.get('/', (_request, reply) => {
        reply.raw.once('close', resolve);
        return sendEvents(reply, 0, {
          read: async (after) => (isQuiet ? { events: [], next: after } : { events: [event], next: after + 1 }),
          wait: async (_after, signal) => void (signal.aborted || (await once(signal, 'abort'))),
          itemOf: () => 'x'.repeat(1024 * 1024),
          refusal: async () => undefined,
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
    while (!text.includes(':\nid: 0\n\n')) text += (await reader?.read())?.value ?? '';
    expect(text.startsWith('retry: 2000\nid: 0\n\n:\nid: 0\n\n')).toBe(true);
    await reader?.cancel();
  });
});

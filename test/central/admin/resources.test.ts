import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { OnlineAgent } from '../../../central/change/agents.ts';
import { ERROR_SUBJECTS } from '../../../docs/error-subjects.ts';
import { agentRecord } from '../fakes.ts';
import { outboxFull, startRest, type Rest } from './rest.ts';
import { EventCursors } from '../../../central/messaging/event-cursors.ts';
import { cursorAt } from '../../event-cursors.ts';

async function json<T = Record<string, unknown>>(response: Response | Promise<Response>): Promise<T> {
  return (await (await response).json()) as T;
}

interface Found {
  readonly problems: readonly { readonly detail: string }[];
}

async function withAgent(): Promise<Rest> {
  const rest = await startRest();
  rest.agents.push(agentRecord({ name: 'a' }));
  return rest;
}

describe('parameters', () => {
  test('are listed with description, bounds, default, value and who changed them', async () => {
    const rest = await startRest();
    await rest.request('PATCH', '/parameters?comment=pilot', { body: { 'agents.max': 500 } });
    const response = await rest.request('GET', '/parameters', { as: 'viewer' });
    expect(response.headers.get('etag')).toBe('W/"2"');
    const { items } = await json<{ items: Record<string, unknown>[] }>(response);
    expect(items.find(({ name }) => name === 'agents.max')).toMatchObject({
      group: 'Queue Agent settings',
      type: 'integer',
      bounds: { minimum: 1, maximum: 100_000, unit: 'agents' },
      default: 10_000,
      value: 500,
      effective: 500,
      isDefault: false,
      changedBy: 'administrator',
      changedAt: expect.stringMatching(/Z$/),
    });
  });

  test('one, and a group by the name that administrators know', async () => {
    const rest = await startRest();
    expect(await json(rest.request('GET', '/parameters/websocket.enabled'))).toMatchObject({
      value: false,
      description: expect.stringContaining('the port is not closed'),
    });
    const { items } = await json<{ items: { name: string }[] }>(
      rest.request('GET', '/parameters?group=Central%20WebSocket%20Server%20Settings'),
    );
    expect(items.map(({ name }) => name)).toEqual([
      'websocket.enabled',
      'websocket.port',
      'websocket.secure.enabled',
      'websocket.secure.port',
      'websocket.secure.clientAuth',
      'websocket.trustedProxies',
    ]);
  });

  test('a change with faults names all of them in one answer and changes nothing', async () => {
    const rest = await startRest();
    const response = await rest.request('PATCH', '/parameters', {
      body: { 'websocket.secure.port': 8787, 'agents.max': 0, nonsense: true },
      headers: { 'content-type': 'application/merge-patch+json' },
    });
    expect(response.status).toBe(422);
    const { errors } = await json<{ errors: { pointer: string }[] }>(response);
    expect(errors.map(({ pointer }) => pointer).toSorted()).toEqual([
      '#/agents.max',
      '#/nonsense',
      '#/websocket.secure.port',
    ]);
    expect((await rest.request('GET', '/parameters')).headers.get('etag')).toBe('W/"1"');
  });

  test('If-Match guards against two administrators', async () => {
    const rest = await startRest();
    const change = async (value: number) =>
      await rest.request('PATCH', '/parameters', {
        body: { 'agents.max': value },
        headers: { 'if-match': '"1"' },
      });
    expect((await change(5)).status).toBe(200);
    const refused = await change(6);
    expect([refused.status, refused.headers.get('etag')]).toEqual([412, '"2"']);
    expect(await json(refused)).toMatchObject({ code: 'version_conflict', changedBy: 'administrator' });
    expect((await json(rest.request('GET', '/parameters/agents.max')))['value']).toBe(5);
  });

  test('If-None-Match answers 304 while nothing changed', async () => {
    const rest = await startRest();
    for (const path of ['/parameters', '/parameters/agents.max', '/parameters?limit=1']) {
      const known = await rest.request('GET', path, { headers: { 'if-none-match': 'W/"0", "1"' } });
      expect([known.status, known.headers.get('etag'), await known.text()]).toEqual([304, '"1"', '']);
      expect((await rest.request('GET', path, { headers: { 'if-none-match': '"2"' } })).status).toBe(200);
    }
  });

  test('a dry run says what would happen, and to whom', async () => {
    const rest = await startRest();
    rest.online.push({
      agentId: 'a',
      name: 'branch-7',
      listener: 'wss',
      transport: 'wss',
      address: '10.0.0.7',
      loopback: false,
      since: 0,
    });
    const body = { 'websocket.secure.enabled': false };
    expect(await json(rest.request('PATCH', '/parameters?dryRun=true', { body }))).toMatchObject({
      dryRun: true,
      changed: [{ name: 'websocket.secure.enabled', from: true, to: false }],
      cutOff: {
        count: 1,
        items: [
          {
            agent: { id: 'a', name: 'branch-7' },
            reason: 'encrypted',
            detail: expect.stringContaining('central.websocket.secure=false'),
            address: '10.0.0.7',
            hint: expect.stringMatching(/^Set central\.websocket\.secure=false/),
          },
        ],
      },
      notices: [],
      needsForce: true,
      change: null,
      result: { listens: ['wss on all addresses'] },
    });
    const refused = await rest.request('PATCH', '/parameters', { body });
    expect(refused.status).toBe(409);
    expect(await json(refused)).toMatchObject({
      type: 'urn:queuegate:error:would_cut_off_agents',
      detail: 'The change would cut off 1 agent: branch-7.',
      cutOff: { count: 1, items: [{ agent: { id: 'a', name: 'branch-7' }, reason: 'encrypted' }] },
    });
    expect((await rest.request('PATCH', '/parameters?force=true', { body })).status).toBe(200);
  });

  test('DELETE restores the default', async () => {
    const rest = await startRest();
    await rest.request('PATCH', '/parameters', { body: { 'agents.max': 500 } });
    expect((await rest.request('DELETE', '/parameters/agents.max?comment=back')).status).toBe(200);
    expect(await json(rest.request('GET', '/parameters/agents.max'))).toMatchObject({ value: 10_000, isDefault: true });
    expect(rest.store.audit.entries.at(-1)).toMatchObject({ comment: 'back', who: 'administrator', from: '127.0.0.1' });
  });

  test('handshakes that failed are joined to an agent by the address of its last session, and the answer says so', async () => {
    const failed = (address: string) => ({
      listener: 'wss',
      cause: 'peer_unknown_authority',
      address,
      count: 1,
      firstAt: 1,
      lastAt: 2,
      detail: 'd',
      hint: 'h',
    });
    const rest = await startRest(async () => ({
      handshakeFailures: { list: () => [failed('10.1.2.3'), failed('10.9.9.9')], dropped: 0 },
    }));
    const session = {
      session: 's',
      bootId: 'b',
      version: '1',
      transport: 'wss',
      node: 'n',
      since: 1,
      endedAt: 2,
    } as const;
    rest.agents.push({
      ...agentRecord({ id: 'a1', name: 'branch-1' }),
      session: { ...session, address: '::ffff:10.1.2.3' },
    });
    rest.agents.push({ ...agentRecord({ id: 'a2', name: 'branch-2' }), session: null });
    const of = async (query: string) => await json<object>(rest.request('GET', `/handshake-failures${query}`));
    expect(await of('?agent=branch-1')).toMatchObject({
      inferredFrom: { agentId: 'a1', address: '::ffff:10.1.2.3' },
      items: [{ address: '10.1.2.3' }],
    });
    expect(await of('?agent=branch-2')).toMatchObject({ inferredFrom: { agentId: 'a2', address: null }, items: [] });
    expect(await of('')).toMatchObject({ inferredFrom: null, items: [{}, {}] });
    expect((await rest.request('GET', '/handshake-failures?agent=none')).status).toBe(404);
  });

  test('a change that awaits its confirmation is pending, and is confirmed or rolled back by its id', async () => {
    const rest = await startRest();
    const [path, body] = ['/parameters?confirmWithinSeconds=60&comment=moved&ticket=CHG-1', { 'websocket.port': 8788 }];
    const accepted = await rest.request('PATCH', path, { body });
    const { change } = await json<{ change: { id: string } }>(accepted);
    expect([accepted.status, accepted.headers.get('location')]).toEqual([202, `/api/v1/changes/${change.id}`]);
    expect(change).toEqual({
      id: expect.any(String),
      state: 'pending',
      expiresAt: expect.stringMatching(/Z$/),
    });
    const pending = async () =>
      (await json<{ items: { id: string }[] }>(rest.request('GET', '/changes?state=pending'))).items;
    const [first] = await pending();
    expect(first).toMatchObject({
      id: expect.stringMatching(/^[0-9a-f]{16}$/),
      subject: 'parameters',
      state: 'pending',
      requiredShare: 0.9,
      agentCount: 0,
      returnedCount: 0,
      changed: [{ name: 'websocket.port', from: 8787, to: 8788 }],
      changedBy: 'administrator',
      comment: 'moved',
      ticket: 'CHG-1',
      expiresAt: expect.stringMatching(/Z$/),
    });
    expect(await json(rest.request('GET', `/changes/${first?.id}`))).toEqual(first);
    const ended = { ...first, state: 'rolled-back' };
    expect(await json(rest.request('POST', `/changes/${first?.id}/rollback`))).toEqual(ended);
    await rest.request('PATCH', path, { body });
    // The id of an earlier change confirms nothing.
    for (const verb of ['confirm', 'rollback'])
      expect((await rest.request('POST', `/changes/${first?.id}/${verb}`)).status).toBe(409);
    expect((await rest.request('POST', '/changes/0000000000000000/confirm')).status).toBe(404);
    const [second] = await pending();
    expect(await json(rest.request('POST', `/changes/${second?.id}/confirm?force=true&comment=seen`))).toMatchObject({
      state: 'confirmed',
    });
    expect(await json(rest.request('GET', '/changes'))).toMatchObject({
      items: [{ id: second?.id, state: 'confirmed' }, ended],
      next: null,
    });
    expect(await pending()).toEqual([]);
    expect(await json(rest.request('GET', '/parameters/websocket.port'))).toMatchObject({ value: 8788 });
  });
});

describe('agents and incidents', () => {
  test('are listed by page, shown and removed', async () => {
    const rest = await startRest();
    rest.agents.push(
      agentRecord({ name: 'a' }),
      agentRecord({ name: 'b' }),
      agentRecord({ name: 'c', id: 'id with/slash' }),
    );
    const first = await rest.request('GET', '/agents?limit=2');
    const { items, next } = await json<{ items: unknown[]; next: string }>(first);
    expect(items).toMatchObject([{ name: 'a', state: 'enrolled' }, { name: 'b' }]);
    expect(first.headers.get('link')).toBe(`</api/v1/agents?limit=2&after=${next}>; rel="next"`);
    // A cursor is opaque, and belongs to one list with one filter.
    for (const path of [
      '/agents?after=b',
      `/agents?state=online&after=${next}`,
      `/agents?sort=-name&after=${next}`,
      `/incidents?after=${next}`,
    ])
      expect(await json(rest.request('GET', path))).toMatchObject({ type: 'urn:queuegate:error:cursor_invalid' });
    expect(await json(rest.request('GET', `/agents?limit=3&after=${next}`))).toMatchObject({
      items: [{ name: 'c' }],
      next: null,
    });
    for (const filter of [
      'state=enrolled&state=online',
      'transport=ws',
      'version=0.1.0&version=0.2.0',
      'lastSeenBefore=2026-11-27T08:00:00%2B01:00',
      'release=branch@0123abcd&release=0123456789abcdef',
    ])
      expect([filter, (await rest.request('GET', `/agents?${filter}`)).status]).toEqual([filter, 200]);
    for (const [parameter, value] of [
      ['state', 'offline'],
      ['transport', 'tls'],
      ['lastSeenBefore', 'yesterday'],
      ['release', 'branch@01'],
    ])
      expect(await json(rest.request('GET', `/agents?${parameter}=${value}`))).toMatchObject({
        code: 'request_invalid',
        errors: [{ parameter, found: value }],
      });
    const path = `/agents/${encodeURIComponent('id with/slash')}`;
    expect(await json(rest.request('GET', path))).toMatchObject({
      id: 'id with/slash',
      logs: { down: { messageCount: 0 }, up: { number: 0 } },
      session: null,
    });
    expect((await rest.request('DELETE', path)).status).toBe(204);
    expect((await rest.request('DELETE', path)).status).toBe(404);
  });

  test('incidents come with their facts', async () => {
    const rest = await startRest();
    rest.incidents.push({
      at: 0,
      kind: 'log_restarted',
      agentId: 'a',
      address: null,
      detail: '{"recovered":false}',
      count: 3,
      lastAt: 1000,
    });
    expect(await json(rest.request('GET', '/incidents?agent=a'))).toEqual({
      items: [
        {
          id: expect.stringMatching(/^[0-9a-f]{16}$/),
          firstAt: '1970-01-01T00:00:00.000Z',
          lastAt: '1970-01-01T00:00:01.000Z',
          count: 3,
          code: 'log_restarted',
          agentId: 'a',
          address: null,
          detail: { recovered: false },
        },
      ],
      next: null,
    });
  });
});

describe('messages', () => {
  test('one message is completed, taken and answered with its number', async () => {
    const rest = await withAgent();
    const response = await rest.request('POST', '/agents/a/commands', {
      as: 'operator',
      body: { type: 'counter.call', data: { ticket: 'A-7' } },
    });
    expect(response.status).toBe(202);
    const { items } = await json<{ items: { id: string; source: string; number: number }[] }>(response);
    expect(items).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        source: '/central',
        commandId: expect.stringMatching(/^[0-9a-f]{32}$/),
        outcome: 'stored',
        number: 1,
      },
    ]);
    expect(JSON.parse(rest.sent[0]?.messages[0]?.json ?? '')).toMatchObject({
      specversion: '1.0',
      type: 'counter.call',
      source: '/central',
      time: expect.stringMatching(/Z$/),
      data: { ticket: 'A-7' },
    });
  });

  test('a batch, also as CloudEvents batch, keeps its order', async () => {
    const rest = await withAgent();
    const batch = [1, 2, 3].map((n) => ({ specversion: '1.0', id: String(n), source: '/x', type: 't' }));
    for (const type of [
      'application/json',
      'application/cloudevents-batch+json',
      'application/cloudevents-batch+json; charset=utf-8',
    ]) {
      expect(
        (await rest.request('POST', '/agents/a/commands', { body: batch, headers: { 'content-type': type } })).status,
      ).toBe(202);
    }
    expect(rest.sent.map(({ messages }) => messages.map(({ id }) => id))).toEqual([
      ['1', '2', '3'],
      ['1', '2', '3'],
      ['1', '2', '3'],
    ]);
    expect(
      (
        await rest.request('POST', '/agents/a/commands', {
          body: batch[0],
          headers: { 'content-type': 'application/cloudevents+json' },
        })
      ).status,
    ).toBe(202);
  });

  test('a batch with faults is refused as a whole, each fault with its place', async () => {
    const rest = await withAgent();
    const response = await rest.request('POST', '/agents/a/commands', {
      body: [{ type: 't' }, { data: 1 }, { type: 't', Bad: 1 }, 7, { type: 't', data: 'x'.repeat(300_000) }],
    });
    expect(response.status).toBe(400);
    const { errors } = await json<{ errors: { pointer: string }[] }>(response);
    expect(errors.map(({ pointer }) => pointer)).toEqual(['#/1', '#/2/Bad', '#/3', '#/4']);
    expect(rest.sent).toEqual([]);
    expect((await rest.request('POST', '/agents/a/commands', { body: [] })).status).toBe(400);
    expect((await rest.request('POST', '/agents/a/commands')).status).toBe(400);
  });

  test('a full outbox refuses with 503 and says when to come again', async () => {
    const rest = await withAgent();
    rest.fail.sending = outboxFull();
    const response = await rest.request('POST', '/agents/a/commands', { body: { type: 't' } });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('5');
    expect(await json(response)).toMatchObject({ type: 'urn:queuegate:error:outbox_full' });
  });

  test('dead letters come with their code', async () => {
    const rest = await withAgent();
    rest.deadLetters.push({
      at: 0,
      direction: 'down',
      agentId: 'a',
      number: 4,
      through: 4,
      count: 1,
      id: 'x',
      reason: 'expired',
      json: '{}',
    });
    expect(await json(rest.request('GET', '/dead-letters?agent=a&limit=5'))).toMatchObject({
      items: [{ agentId: 'a', number: 4, code: 'message_expired', detail: null, text: '{}' }],
    });
  });

  test('dead letters are filtered by agent, direction, code and time; other values are refused with the allowed ones', async () => {
    const rest = await withAgent();
    const times = 'createdAfter=2026-11-22T10:00:00Z&createdBefore=2026-11-22T12:00:00%2B01:00';
    const path = `/dead-letters?agent=a&direction=up&code=message_invalid&code=id_reused&${times}&limit=7`;
    expect((await rest.request('GET', path)).status).toBe(200);
    expect(rest.deadLetterQueries).toEqual([
      {
        limit: 7,
        agentId: 'a',
        direction: 'up',
        codes: ['message_invalid', 'id_reused'],
        from: Date.parse('2026-11-22T10:00:00Z'),
        to: Date.parse('2026-11-22T11:00:00Z'),
      },
    ]);
    for (const [query, allowed] of [
      ['direction=sideways', ['up', 'down']],
      ['code=expired', ['message_expired', 'message_withdrawn', 'id_reused', 'message_invalid']],
      ['createdAfter=yesterday', null],
    ] as const)
      expect(await json(rest.request('GET', `/dead-letters?${query}`))).toMatchObject({
        status: 400,
        code: 'request_invalid',
        errors: [{ parameter: query.replace(/=.*/, ''), ...(allowed === null ? {} : { allowed }) }],
      });
  });
});

describe('a reader whose next events were pruned', () => {
  test('gets the cursor from which to continue; one that begins does not', async () => {
    const rest = await startRest();
    for (let i = 1; i <= 5; i += 1) rest.events.push('a', { id: String(i), source: '/s', type: 't' });
    rest.events.pruned = 3;
    const refused = await rest.request('GET', `/events?after=${cursorAt(1)}`);
    expect([refused.status, await json(refused)]).toMatchObject([
      410,
      { code: 'cursor_expired', resumeAfter: cursorAt(3), hint: expect.stringContaining('events.retentionDays') },
    ]);
    for (const after of [cursorAt(3), cursorAt(0), 'oldest', 'newest'])
      expect((await rest.request('GET', `/events?after=${after}`)).status, after).toBe(200);
  });
});

test('the clock of the host is accepted by an administrator, who gets both times', async () => {
  const rest = await startRest();
  expect((await rest.request('POST', '/maintenance/accept-clock', { as: 'operator' })).status).toBe(403);
  expect(await json(rest.request('POST', '/maintenance/accept-clock'))).toEqual({
    expectedAt: '1970-01-01T00:00:00.000Z',
    foundAt: '1970-03-02T00:00:00.000Z',
  });
});

describe('events', () => {
  test('come by cursor, with filters; `next` passes what the filter left out once nothing more fits, and never what a short page left', async () => {
    const rest = await startRest();
    for (let i = 1; i <= 5; i += 1)
      rest.events.push(i % 2 === 0 ? 'even' : 'odd', { id: String(i), source: '/s', type: 't' });
    expect(await json(rest.request('GET', '/events?limit=2'))).toMatchObject({
      items: [{ cursor: cursorAt(1), event: { id: '1' } }, { cursor: cursorAt(2) }],
      next: cursorAt(2),
    });
    expect(await json(rest.request('GET', `/events?after=${cursorAt(2)}&limit=2`))).toMatchObject({
      next: cursorAt(4),
    });
    // The store may end a page before its limit: only what was given out counts as read.
    expect(await json(rest.request('GET', '/events?agent=even'))).toMatchObject({
      items: [{ cursor: cursorAt(2) }, { cursor: cursorAt(4) }],
      next: cursorAt(4),
    });
    expect(await json(rest.request('GET', `/events?agent=even&after=${cursorAt(4)}`))).toEqual({
      items: [],
      next: cursorAt(5),
    });
    expect(await json(rest.request('GET', '/events?type=none'))).toEqual({ items: [], next: cursorAt(5) });
  });

  test('as a CloudEvents batch, with the cursor in a header', async () => {
    const rest = await startRest();
    rest.events.push('a', { id: '1', source: '/s', type: 't' });
    const response = await rest.request('GET', '/events', {
      headers: { accept: 'application/cloudevents-batch+json' },
    });
    expect(response.headers.get('content-type')).toContain('application/cloudevents-batch+json');
    expect(response.headers.get('queuegate-next')).toBe(cursorAt(1));
    expect(response.headers.get('link')).toBe(`</api/v1/events?after=${cursorAt(1)}>; rel="next"`);
    expect(await response.json()).toEqual([
      { specversion: '1.0', id: '1', source: '/s', type: 't', queuegateagent: 'a' },
    ]);
  });

  test('go out as the text that came, in the list and in the batch, which alone names the agent', async () => {
    const rest = await startRest();
    rest.events.push('a', { id: '1', source: '/s', type: 't' });
    const kept = rest.events.all[0];
    const text = String.raw`{"data":{"n":9007199254740993,"z":"\u00e9\/","x":-0, "y":1.10},"specversion":"1.0","id":"1","source":"/s","type":"t"}`;
    if (kept !== undefined) rest.events.all[0] = { ...kept, json: text };
    expect(await (await rest.request('GET', '/events')).text()).toContain(`"event":${text}}`);
    const batch = await rest.request('GET', '/events', { headers: { accept: 'application/cloudevents-batch+json' } });
    expect(await batch.text()).toBe(`[{"queuegateagent":"a",${text.slice(1)}]`);
  });

  test('a long poll answers as soon as an event comes, and skips what does not fit its filter', async () => {
    const rest = await startRest();
    rest.agents.push(agentRecord({ name: 'b' }));
    const answer = json(rest.request('GET', '/events?waitSeconds=30&agent=b'));
    await waitUntil(() => rest.events.waiting === 1);
    rest.events.push('a', { id: '1', source: '/s', type: 't' });
    rest.events.push('b', { id: '2', source: '/s', type: 't' });
    expect(await answer).toMatchObject({ items: [{ cursor: cursorAt(2) }], next: cursorAt(2) });
    expect(rest.events.waiting).toBe(0);
  });

  test('a long poll ends with its time, empty', async () => {
    const rest = await startRest();
    expect(await json(rest.request('GET', '/events?waitSeconds=1'))).toEqual({ items: [], next: cursorAt(0) });
  });

  test('nothing more is read for a client that goes away', async () => {
    const rest = await startRest();
    const asked = Promise.withResolvers<AbortSignal | undefined>();
    rest.events.read = (_after, _filter, _limit, gone?: AbortSignal) => {
      asked.resolve(gone);
      return new Promise((resolve) => gone?.addEventListener('abort', () => resolve([])));
    };
    const leaves = new AbortController();
    const request = rest.request('GET', '/events?type=none', { signal: leaves.signal }).catch(() => 'gone');
    const gone = await asked.promise;
    expect(gone?.aborted).toBe(false);
    leaves.abort();
    expect(await request).toBe('gone');
    await waitUntil(() => gone?.aborted === true);
  });

  test('a client that goes away leaves nothing behind', async () => {
    const rest = await startRest();
    const gone = new AbortController();
    const request = rest.request('GET', '/events?waitSeconds=50', { signal: gone.signal }).catch(() => 'gone');
    await waitUntil(() => rest.events.waiting === 1);
    gone.abort();
    expect(await request).toBe('gone');
    await waitUntil(() => rest.events.waiting === 0);
    expect(await (await rest.request('GET', '/metrics')).text()).toContain('queuegate_waiting_requests 0');
  });

  test('`newest` waits for what comes from now on', async () => {
    const rest = await startRest();
    rest.events.push('a', { id: '1', source: '/s', type: 't' });
    expect(await json(rest.request('GET', '/events?after=newest'))).toEqual({ items: [], next: cursorAt(1) });
  });

  test('a cursor ahead of the newest event is refused: Central went back in time', async () => {
    const rest = await startRest();
    rest.events.push('a', { id: '1', source: '/s', type: 't' });
    const refused = await rest.request('GET', `/events?after=${cursorAt(7)}`);
    expect([refused.status, await json(refused)]).toMatchObject([
      410,
      { code: 'cursor_ahead', resumeAfter: cursorAt(1), hint: expect.stringContaining(cursorAt(1)) },
    ]);
  });

  const FOREIGN = new EventCursors([{ id: 'abcdef0123', ended: null }]).encode(1);
  test.each(['1', '0', 'x', 'OLDEST', FOREIGN, `${cursorAt(1)}A`, `${cursorAt(1)}=`, '9'.repeat(1_024)])(
    'a number or the cursor of another installation (%s) is refused with a hint',
    async (after) => {
      const rest = await startRest();
      expect(await json(rest.request('GET', `/events?after=${encodeURIComponent(after)}`))).toMatchObject({
        status: 400,
        code: 'cursor_invalid',
        hint: expect.stringContaining('"next" of an earlier answer'),
        errors: [{ parameter: 'after', detail: expect.stringContaining('oldest, newest'), found: after.slice(0, 64) }],
      });
    },
  );

  test('the position is text in each answer, of which only Central reads anything', async () => {
    const rest = await startRest();
    rest.events.push('a', { id: '1', source: '/s', type: 't' });
    const { items, next } = (await json(rest.request('GET', '/events'))) as {
      items: { cursor: string }[];
      next: string;
    };
    expect([items[0]?.cursor, next]).toEqual([next, expect.stringMatching(/^[A-Za-z0-9_-]{16}$/)]);
  });
});

describe('tokens', () => {
  test('an enrollment token answers the complete line', async () => {
    const rest = await startRest();
    const response = await rest.request('POST', '/enrollment-tokens', { body: { agentName: 'branch-7', maxUses: 2 } });
    expect(response.status).toBe(201);
    const { token, commandLine } = await json<{ token: string; commandLine: string }>(response);
    expect(commandLine).toBe(`queue-agent enroll https://central.test:9150 --token ${token} --pin sha256:00`);
    const listed = await (await rest.request('GET', '/enrollment-tokens')).text();
    expect(listed).toContain('branch-7');
    expect(listed).not.toContain(token.split('_').slice(2).join('_'));
    expect((await rest.request('POST', '/enrollment-tokens')).status).toBe(201);
    expect((await rest.request('POST', '/enrollment-tokens', { body: { lifetimeSeconds: 0 } })).status).toBe(400);
  });

  test('an API token is shown once and may be used at once', async () => {
    const rest = await startRest();
    const { token } = await json<{ token: string }>(
      rest.request('POST', '/api-tokens', { body: { name: 'monitor', role: 'viewer', lifetimeSeconds: 86_400 } }),
    );
    expect(
      (await rest.request('GET', '/status', { as: null, headers: { authorization: `Bearer ${token}` } })).status,
    ).toBe(200);
    expect((await rest.request('POST', '/api-tokens', { body: { name: 'x', role: 'root' } })).status).toBe(400);
  });
});

describe('status, health, certificate authority and metrics', () => {
  test('status says in words what listens where', async () => {
    const rest = await startRest();
    expect(await json(rest.request('GET', '/status'))).toMatchObject({
      version: '0.1.0',
      node: 'n1',
      listeners: [{ port: 8787, text: 'unencrypted, this host only' }],
    });
  });

  const ONLINE = { transport: 'wss', listener: 'wss', address: '192.0.2.1', loopback: false } as const;
  const online = (name: string, since: number, more: Partial<OnlineAgent> = {}): OnlineAgent => ({
    ...ONLINE,
    agentId: `id of ${name}`,
    name,
    since,
    ...more,
  });
  const WS = { transport: 'ws', listener: 'ws' } as const;

  test('status counts the sessions of each listener, and names agents of other hosts that use unencrypted ws', async () => {
    const rest = await startRest();
    // Behind a proxy that ends TLS an agent uses wss on the ws listener; the Central agent uses ws on this host.
    rest.status.online = [
      online('wss', 1),
      online('proxied', 2, { listener: 'ws' }),
      online('central-agent', 3, { ...WS, address: '127.0.0.1', loopback: true }),
    ];
    const sessions = [
      { listener: 'ws', sessionCount: 2 },
      { listener: 'wss', sessionCount: 1 },
    ];
    expect(await json(rest.request('GET', '/status'))).toMatchObject({ sessions, problems: [] });
    const one = online('branch-1', 3_000, WS);
    rest.status.online = [one];
    const subject = { kind: 'agent', id: one.agentId, name: one.name };
    const [found] = (await json<Found>(rest.request('GET', '/status'))).problems;
    expect(found).toMatchObject({ code: 'agents_unencrypted', startedAt: '1970-01-01T00:00:03.000Z', subject });
    const many = Array.from({ length: 7 }, (_, i) => online(`branch-${i}`, 9_000 - i, WS));
    rest.status.online = many;
    const [all] = (await json<Found>(rest.request('GET', '/status'))).problems;
    expect(all).toMatchObject({ startedAt: '1970-01-01T00:00:08.994Z', subject: null });
    expect(all?.detail).toMatch(/ by 7 agents: branch-0, .*branch-4 and 2 more\. /);
    // It does not make Central unhealthy.
    expect(await json(rest.request('GET', '/health/ready'))).toEqual({ state: 'ok', reasons: [] });
  });

  test('store says what is kept, how much room there is, and what each agent may take of it', async () => {
    const rest = await startRest();
    expect(await json(rest.request('GET', '/store', { as: 'viewer' }))).toEqual({
      engine: 'sqlite',
      schema: 7,
      bytes: 4096,
      eventCount: 5,
      unconvertedEventCount: 0,
      deadLetterCount: 1,
      droppedDeadLetterCount: 2,
      reserve: { state: 'low', freeBytes: 900, availableBytes: 800, reserveBytes: 500 },
      quotas: { deadLetterCount: 10_000, deadLetterBytes: 16 * 1024 * 1024, eventsPerDayCount: null },
    });
  });

  test('status never carries the private key that is beside the certificate', async () => {
    const rest = await startRest();
    const credentials = {
      subject: 'CN=a',
      names: ['a'],
      notAfter: 0,
      thumbprint: '7'.repeat(64),
      key: 'PRIVATE KEY',
      chain: 'chain',
    };
    rest.status.report = { ...rest.status.report, certificate: credentials };
    const text = await (await rest.request('GET', '/status', { as: 'viewer' })).text();
    expect(text).toContain('CN=a');
    expect(text).not.toContain('PRIVATE KEY');
  });

  test('liveness is 200 as long as Central answers, whatever is wrong', async () => {
    const rest = await startRest();
    const problem = { code: 'listener_not_open', detail: 'port 8787', hint: 'h', startedAt: 1 };
    rest.status.report = { ...rest.status.report, problems: [problem], advice: [problem] };
    const response = await rest.request('GET', '/health/live', { as: null });
    expect(response.status).toBe(200);
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(await response.json()).toEqual({ state: 'ok', reasons: [] });
  });

  test('every reason of readiness is a code of ERRORS.md, and in the table of REST.md', () => {
    const codes = new Set(ERROR_SUBJECTS.flatMap(({ errors }) => Object.keys(errors)));
    const part =
      readFileSync('docs/REST.md', 'utf8').split('### `GET /api/v1/health/ready`')[1]?.split('\n### ')[0] ?? '';
    const reasons = Array.from(part.matchAll(/^\| \[`(\w+)`\]/gm), ([, code]) => code);
    expect(reasons).toEqual([
      'listener_not_open',
      'listeners_not_applied',
      'store_away',
      'node_drained',
      'node_clock_off',
      'central_stopping',
    ]);
    expect(reasons.filter((code) => !codes.has(code ?? ''))).toEqual([]);
  });

  test('readiness is 503 while something is wrong, and says its codes and nothing else without a token', async () => {
    const rest = await startRest();
    expect(await json(rest.request('GET', '/health/ready', { as: null }))).toEqual({ state: 'ok', reasons: [] });
    rest.status.report = {
      ...rest.status.report,
      problems: [1, 2].map((startedAt) => ({ code: 'listener_not_open', detail: 'port 8787', hint: 'h', startedAt })),
    };
    const response = await rest.request('GET', '/health/ready', { as: null });
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({ state: 'failing', reasons: ['listener_not_open'] });
  });

  test('the root is there for everybody, as PEM', async () => {
    const rest = await startRest();
    const response = await rest.request('GET', '/ca/trust-bundle.pem', { as: null });
    expect(response.headers.get('content-type')).toContain('application/x-pem-file');
    expect(await response.text()).toContain('BEGIN CERTIFICATE');
  });

  test('requests are counted by route, never by path', async () => {
    const rest = await startRest();
    await rest.request('GET', '/agents/some-agent');
    const text = await (await rest.request('GET', '/metrics', { as: 'viewer' })).text();
    expect(text).toContain('queuegate_http_requests_total{method="GET",route="/api/v1/agents/:agent",status="404"} 1');
    expect(text).not.toContain('some-agent');
  });
});

async function waitUntil(holds: () => boolean): Promise<void> {
  const until = Date.now() + 5000;
  while (!holds()) {
    if (Date.now() > until) throw new Error('it did not come true');
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
  }
}

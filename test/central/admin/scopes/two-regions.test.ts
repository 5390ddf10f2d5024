// A token with the scope of one region, on every route of a Central with agents of two: no id, name, label or record of
// the other region is in any answer, and no act reaches it.
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROUTE_SCOPES } from '../../../../central/admin/scopes/routes.ts';
import type { RunningCentral } from '../../../../central/composition/lifecycle.ts';
import { openCentralStore } from '../../../../central/store/open-store.ts';
import type { Store } from '../../../../central/store/store.ts';
import { PREFIX, registeredRoutes } from '../../../described-answers.ts';
import { Cleanup } from '../../../flow/processes.ts';
import { framesOf } from '../../../shared/delivery/frames.ts';
import { sendTo, startInProcess } from '../../in-process.ts';
import { ACT, claimOf, enrollmentToken, message, newRollout } from '../../store/samples.ts';

/** In everything of the other region: ids, names, labels, messages, records. */
const SOUTH = 'zzsouth';
const NORTH = 'north';
const SCOPE = `label:region=${NORTH}`;

const cleanup = new Cleanup();
let central: RunningCentral;
/** Of an administrator with the scope. */
let scoped = '';

const PRINT = {
  arguments: 'list',
  argumentPattern: null,
  timeoutSeconds: 60,
  graceSeconds: 10,
  concurrencyCount: 1,
  rerun: false,
} as const;

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

interface Things {
  readonly agent: string;
  command: string;
  drain: string;
  rollout: string;
  /** Waits in a queue, and has no agent. */
  task: string;
  token: string;
}
const things: Readonly<Record<typeof NORTH | typeof SOUTH | 'unknown', Things>> = {
  [NORTH]: { agent: `${NORTH}-1`, command: '', drain: '', rollout: 'r-1', task: 't-1', token: '' },
  [SOUTH]: { agent: `${SOUTH}-1`, command: '', drain: '', rollout: 'r-2', task: 't-3', token: '' },
  unknown: {
    agent: 'unknown-1',
    command: '0000000000000fff0123456789abcdef',
    drain: 'f'.repeat(16),
    rollout: 'r-999',
    task: 't-999',
    token: 'f'.repeat(16),
  },
};

/** Two agents of a region, each with all kinds of records. */
async function fill(store: Store, region: string): Promise<void> {
  const at = Date.now();
  for (const i of [1, 2]) {
    const [id, name] = [`${region}-id-${i}`, `${region}-${i}`];
    const keyThumbprint = sha256(`key of ${id}`);
    await store.tokens.addEnrollmentToken(enrollmentToken(`token-${id}`, { expiresAt: at + 60_000 }), ACT);
    await store.agents.register({ id, name, publicKey: `key of ${id}`, keyThumbprint, now: at }, `token-${id}`, ACT);
    await store.agents.change(
      id,
      { labels: { region }, notes: `of ${region}` },
      { version: null, by: 'x', now: at },
      ACT,
    );
    const { epoch } = await store.agents.claimSession(
      claimOf(id, { name, keyThumbprint, address: `${region}.example`, now: at }),
    );
    await store.tasks.recordHandlers(id, epoch, {
      accounts: 'one',
      containment: 'cgroup',
      queues: [`queue-${region}`],
      handlers: [{ ...PRINT, name: `print-${region}` }],
      reportedAt: at,
    });
    await store.inbox.begin(id, epoch, { incarnation: `log of ${region}`, next: 1, missing: null }, at);
    const items = [
      { kind: 'message', message: message(`${region}-event-${i}`, { source: `/${region}` }) },
      { kind: 'rejected', id: `${region}-bad`, source: '', reason: `bad ${region}`, json: `{"${region}":1}` },
    ] as const;
    await store.inbox.append(id, epoch, 1, framesOf(1, items), at);
    const detail = JSON.stringify({ region });
    await store.agents.recordIncident({ at, kind: 'clone', agentId: id, address: null, detail });
    await store.certificates.recordIssued(
      {
        thumbprint: sha256(`certificate of ${id}`),
        agentId: id,
        serial: `${region}-${i}`,
        issuer: 'root',
        keyThumbprint,
        notBefore: at,
        notAfter: at + 1_000_000 * i,
        issuedAt: at,
      },
      ACT,
    );
  }
  const rollout = newRollout({
    selectors: [`name:${region}-*`],
    scope: region === NORTH ? SCOPE : null,
    comment: region,
    state: 'paused',
  });
  await addTasks(store, region, at);
  await store.rollouts.create(rollout, [{ agentId: `${region}-id-1`, isEligible: true }], ACT);
}

/** Of the region: one that waits in a queue, and one of its first agent. Of the other one also one of a token without a scope. */
async function addTasks(store: Store, region: string, at: number): Promise<void> {
  const act = { createdAt: at, createdBy: `scheduler of ${region}`, comment: null, ticket: null };
  const order = { handler: `print-${region}`, arguments: [region], deadlineAt: at + 3_600_000, ...act };
  const key = (name: string): string => sha256(`${name} of ${region}`).slice(0, 32);
  const scope = { text: `label:region=${region}`, terms: [{ key: 'region', operator: '=', value: region }] as const };
  const queued = { ...order, queue: `queue-${region}` };
  const bounds = { maxPerQueue: 10, maxQueued: 10 };
  await store.tasks.enqueue({ ...queued, key: key('queued'), scope }, bounds, ACT);
  const terms = { bounds: { maxMessages: 10, maxBytes: 100_000, deduplicationMs: 1_000 }, maxUnfinished: 10 };
  await store.tasks.create({ ...order, key: key('sent'), agentId: `${region}-id-1` }, terms, ACT);
  if (region === SOUTH) await store.tasks.enqueue({ ...queued, key: key('unscoped'), scope: null }, bounds, ACT);
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly json: Readonly<Record<string, unknown>>;
}

async function send(method: string, path: string, body?: unknown, token?: string): Promise<Answer> {
  const whole = /^\/(?:metrics|openapi|docs|crl)/.test(path) ? path : `${PREFIX}${path}`;
  const response = await sendTo(central, { method, path: whole, body, ...(token === undefined ? {} : { token }) });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get('content-type') ?? '');
  const json = (isJson ? (JSON.parse(text) as unknown) : {}) as Answer['json'];
  return { status: response.status, text: `${text} ${JSON.stringify([...response.headers])}`, json };
}
const sendScoped = (method: string, path: string, body?: unknown): Promise<Answer> => send(method, path, body, scoped);
const items = ({ json }: Answer): readonly Record<string, unknown>[] =>
  json['items'] as readonly Record<string, unknown>[];

beforeAll(async () => {
  const folder = await cleanup.folder();
  const names = { advertisedNames: ['central.test'] as const, centralName: 'central.test', hostName: 'central.test' };
  const store = await openCentralStore({ ...names, dataFolder: folder }, () => undefined);
  for (const region of [NORTH, SOUTH]) await fill(store, region);
  await store.stop();
  central = await startInProcess(folder, '--central-name', 'central.test');
  for (const region of [NORTH, SOUTH] as const) {
    const scope = `label:region=${region}`;
    const made = await send('POST', '/api-tokens', { name: `token of ${region}`, role: 'administrator', scope });
    things[region].token = String(made.json['id']);
    if (region === NORTH) scoped = String(made.json['token']);
    const { agent } = things[region];
    const queued = await send('POST', `/agents/${agent}/commands`, { type: `${region}.command`, data: region });
    things[region].command = String(items(queued)[0]?.['commandId']);
    await send('POST', `/agents/${agent}/recovery-code`, {});
  }
  things[SOUTH].drain = String((await send('POST', '/drains', { agents: ['all', `${SOUTH}-1`] })).json['id']);
  things[NORTH].drain = String((await sendScoped('POST', '/drains', { agents: ['all'] })).json['id']);
  await send('POST', '/enrollment-tokens', { agentName: `${SOUTH}-9` });
}, 30_000);
afterAll(async () => {
  await central.stop();
  await cleanup.run();
});

function filled(path: string, of: Things): string {
  const others: Readonly<Record<string, string>> = { parameter: 'agents.max', profile: 'x', release: 'x'.repeat(8) };
  return path.replace(PREFIX, '').replaceAll(/\{(\w+)\}/g, (_, name: string) => ({ ...others, ...of })[name] ?? 'x');
}

describe('a token with the scope of one region', () => {
  test('reads nothing of the other one, on any route', async () => {
    let count = 0;
    for (const { key, method, path } of await registeredRoutes()) {
      if (method !== 'GET') continue;
      // A stream has no end; what it brings is below.
      const answer = await sendScoped(key === 'GET /watch' ? 'HEAD' : method, filled(path, things[NORTH]));
      expect([key, answer.text.toLowerCase().includes(SOUTH), answer.text]).toEqual([key, false, answer.text]);
      const isClosed = ROUTE_SCOPES.get(key) === 'closed';
      expect([key, isClosed ? [403] : [200, 404, 503]]).toEqual([key, expect.arrayContaining([answer.status])]);
      count += 1;
    }
    expect(count).toBeGreaterThan(40);
  });

  test.each([
    ['/agents', 2],
    ['/agents?sort=-lastSeenAt', 2],
    [`/agents?label=region%3D${SOUTH}`, 0],
    ['/incidents', 2],
    ['/dead-letters', 2],
    ['/events', 2],
    // One of them starts a task.
    ['/commands', 2],
    ['/tasks', 2],
    ['/tasks?state=queued', 1],
    ['/certificates?kind=agent', 2],
    ['/drains', 1],
    ['/rollouts', 1],
    ['/rollouts/r-1/agents', 1],
    ['/api-tokens', 1],
  ])('has its own in %s: %i', async (path, count) => {
    expect(items(await sendScoped('GET', path))).toHaveLength(count);
    const all = path.startsWith('/rollouts/') ? count : count + 1;
    expect(items(await send('GET', path)).length).toBeGreaterThanOrEqual(path.includes('label') ? 2 : all);
    // Page by page, too; a page may be empty.
    const separator = path.includes('?') ? '&' : '?';
    const found: unknown[] = [];
    for (let [after, pages] = ['', 0]; pages < 20; pages += 1) {
      const page = await sendScoped('GET', `${path}${separator}limit=1${after}`);
      expect(page.text.toLowerCase()).not.toContain(path.includes(SOUTH) ? `${SOUTH}-` : SOUTH);
      found.push(...items(page));
      const { next } = page.json;
      if (next === null || (path === '/events' && items(page).length === 0)) break;
      after = `&after=${encodeURIComponent(next as string)}`;
    }
    expect(found).toHaveLength(count);
  });

  test('gets for what belongs to the other one what it gets for what does not exist', { timeout: 30_000 }, async () => {
    const before = await southAsSeen();
    for (const { key, method, path } of await registeredRoutes()) {
      const [, name] = /\{(agent|command|drain|rollout|task|token)\}/.exec(path) ?? [];
      if (name === undefined || ROUTE_SCOPES.get(key) !== 'agents') continue;
      const others = { agent: [{ agent: `${SOUTH}-id-1` }], task: [{ task: 't-4' }, { task: 't-5' }] };
      const more = name === 'agent' || name === 'task' ? others[name] : [];
      const references = [things[SOUTH], ...more.map((one) => ({ ...things[SOUTH], ...one }))];
      const body = key in BODIES ? BODIES[key] : undefined;
      const unknown = await sendScoped(method, filled(path, things.unknown), body);
      for (const of of references) {
        const found = await sendScoped(method, filled(path, of), body);
        const reference = of[name as keyof Things];
        const plain = (answer: Answer, id: string) =>
          JSON.stringify({ ...answer.json, instance: null }).replaceAll(id, 'REFERENCE');
        expect([key, found.status, plain(found, reference)]).toEqual([
          key,
          404,
          plain(unknown, things.unknown[name as keyof Things]),
        ]);
      }
    }
    expect(await southAsSeen()).toEqual(before);
  });

  test('acts on several agents only where they are its own, and says on how many', async () => {
    const before = await southAsSeen();
    const labeled = await sendScoped('POST', '/agent-actions', {
      verb: 'labels',
      agents: ['all', 'name:*'],
      labels: { floor: '1' },
    });
    expect(labeled.json).toMatchObject({ acceptedCount: 2, refusedCount: 0 });
    const sent = await sendScoped('POST', '/commands?agents=all', { type: 't' });
    expect(sent.json).toMatchObject({ acceptedCount: 2, refusedCount: 0 });
    const drained = await sendScoped('POST', '/drains?dryRun=true', { agents: ['all'] });
    expect(drained.json).toMatchObject({ result: { agentCount: 2 } });
    for (const agents of [[`label:region=${SOUTH}`], [`name:${SOUTH}-*`]])
      expect((await sendScoped('POST', '/drains', { agents })).json).toMatchObject({ code: 'selector_empty' });
    expect((await sendScoped('POST', '/drains', { agents: ['all', `${SOUTH}-1`] })).json).toMatchObject({
      code: 'agent_unknown',
      status: 422,
    });
    expect(await southAsSeen()).toEqual(before);
  });

  test('runs tasks in queues that its agents serve, and cancels those that wait there', async () => {
    const order = { queue: `queue-${NORTH}`, handler: `print-${NORTH}` };
    const { status, json } = await sendScoped('POST', '/tasks', order);
    expect([status, json['state'], json['agent']]).toEqual([202, 'queued', null]);
    const other = { queue: `queue-${SOUTH}`, handler: `print-${SOUTH}` };
    expect((await sendScoped('POST', '/tasks', other)).json).toMatchObject({ status: 422, code: 'queue_unserved' });
    const canceled = await sendScoped('POST', `/tasks/${String(json['id'])}/cancel`);
    expect([canceled.status, canceled.json['state']]).toEqual([202, 'canceled']);
    const left = items(await send('GET', '/tasks?state=queued')).map(({ id }) => id);
    expect(new Set(left)).toEqual(new Set(['t-1', 't-3', 't-5']));
  });

  test('moves no agent out of its scope, by one act or by one on several', async () => {
    for (const labels of [{ region: SOUTH }, { region: null }, null]) {
      const refused = await sendScoped('PATCH', `/agents/${NORTH}-1`, { labels });
      expect([labels, refused.status, refused.json['code']]).toEqual([labels, 403, 'scope_too_narrow']);
    }
    const several = { verb: 'labels', agents: ['all'], labels: { region: 'west' } };
    for (const path of ['/agent-actions', '/agent-actions?dryRun=true'])
      expect((await sendScoped('POST', path, several)).json).toMatchObject({ code: 'scope_too_narrow' });
    expect((await sendScoped('PATCH', `/agents/${NORTH}-1`, { labels: { floor: '3' } })).status).toBe(200);
  });

  test('learns of a name outside that it is taken, and not by which agent; no agent outside takes the place of one', async () => {
    const before = await southAsSeen();
    const taken = await sendScoped('PATCH', `/agents/${NORTH}-1`, { name: `${SOUTH}-1` });
    expect([taken.status, taken.json['code']]).toEqual([409, 'agent_name_taken']);
    expect(taken.text.replaceAll(`${SOUTH}-1`, '')).not.toContain(SOUTH);
    for (const by of [`${SOUTH}-1`, `${SOUTH}-id-2`, 'unknown-1'])
      expect((await sendScoped('POST', `/agents/${NORTH}-1/replace`, { by })).json).toMatchObject({
        code: 'request_invalid',
        errors: [{ pointer: '#/by', found: by }],
      });
    expect(await southAsSeen()).toEqual(before);
  });

  test('makes and sees tokens of its own scope and of narrower ones only', async () => {
    const order = { name: 'x', role: 'viewer' };
    for (const scope of [undefined, null, `label:region=${SOUTH}`, 'label:floor=1'])
      expect((await sendScoped('POST', '/api-tokens', { ...order, scope })).json).toMatchObject({
        code: 'scope_too_narrow',
        status: 403,
      });
    const narrow = `${SCOPE},floor=1`;
    const made = await sendScoped('POST', '/api-tokens', { ...order, scope: narrow });
    expect([made.status, made.json['scope']]).toEqual([201, narrow]);
    const id = String(made.json['id']);
    for (const scope of [null, 'label:floor=1'])
      expect((await sendScoped('PATCH', `/api-tokens/${things[NORTH].token}`, { scope })).status).toBe(403);
    expect(items(await sendScoped('GET', '/api-tokens')).map((token) => token['scope'])).toEqual([SCOPE, narrow]);
    const { entries } = { entries: items(await send('GET', '/audit?action=api-tokens.create&limit=1')) };
    expect(entries[0]).toMatchObject({ actor: `token of ${NORTH}`, detail: { scope: narrow } });
    expect((await sendScoped('DELETE', `/api-tokens/${id}`)).status).toBe(204);
  });

  test('sees an agent as long as its labels say so, evaluated on each request', async () => {
    const path = `/agents/${NORTH}-2`;
    const eventsOf = async () => items(await sendScoped('GET', '/events')).length;
    expect([(await sendScoped('GET', path)).status, await eventsOf()]).toEqual([200, 2]);
    await send('PATCH', path, { labels: { region: 'west' } });
    expect([(await sendScoped('GET', path)).status, await eventsOf()]).toEqual([404, 1]);
    await send('PATCH', path, { labels: { region: NORTH } });
    expect([(await sendScoped('GET', path)).status, await eventsOf()]).toEqual([200, 2]);
  });

  test('watches its own agents only: one that is labeled otherwise is deleted there, and back when it returns', async () => {
    const order = { name: 'watcher', role: 'viewer', scope: SCOPE };
    const { id, token } = (await send('POST', '/api-tokens', order)).json as { id: string; token: string };
    const watch = async (query = '') => await watching(token, query);
    const label = async (name: string, region: string) =>
      expect((await send('PATCH', `/agents/${name}`, { labels: { region } })).status).toBe(200);

    const stream = await watch();
    // A foreign one changes, and its rollout; then come an own one that leaves and returns, and an own rollout.
    expect((await send('PATCH', `/agents/${SOUTH}-2`, { notes: 'x' })).status).toBe(200);
    await label(`${SOUTH}-2`, 'elsewhere');
    expect((await send('POST', '/rollouts/r-2/cancel')).status).toBe(200);
    await label(`${NORTH}-2`, 'west');
    await stream.until(/event: agent.deleted\ndata: \{"id":"north-id-2"\}\n\n/);
    await label(`${NORTH}-2`, NORTH);
    await stream.until(/event: agent.updated\ndata: \{"id":"north-id-2"/);
    expect((await send('POST', '/rollouts/r-1/cancel')).status).toBe(200);
    const own = await stream.until(/event: rollout.updated\ndata: \{"id":"r-1".*\n\n/);
    expect(own).not.toMatch(/south|elsewhere|r-2/);

    // What happened while it was away, and the other way round: one that comes from outside, and goes again.
    const at = own.slice(own.lastIndexOf('id: ') + 4).split('\n')[0] ?? '';
    await label(`${SOUTH}-2`, NORTH);
    await label(`${NORTH}-2`, 'west');
    const resumed = await watch(`?after=${at}`);
    const missed = await resumed.until(/event: agent.deleted\n.*\n\n/);
    expect(missed).toMatch(/event: agent.updated\ndata: \{"id":"zzsouth-id-2"[^]*"id":"north-id-2"\}/);
    await label(`${SOUTH}-2`, SOUTH);
    await resumed.until(/event: agent.deleted\ndata: \{"id":"zzsouth-id-2"\}\n\n/);
    await label(`${NORTH}-2`, NORTH);

    // The scope of the token itself becomes another one.
    await send('PATCH', `/api-tokens/${id}`, { scope: `${SCOPE},floor=1` });
    await resumed.until(/event: reset\ndata: \{"collections":\["agents","parameters","rollouts","tasks"\]\}\n\n/);
    const refused = await send('GET', '/watch?collections=agents,changes', undefined, token);
    expect([refused.status, refused.json['code']]).toEqual([403, 'scope_too_narrow']);
    expect(refused.json['detail']).toMatch(/the collection "changes" is about all/);
    await send('DELETE', `/api-tokens/${id}`);
    await resumed.until(/event: end\n/);
  });

  test('counts its own agents, with the filters of the list', async () => {
    const count = async (query: string, token?: string) =>
      (await send('GET', `/status${query}`, undefined, token)).json['agents'] as Record<string, unknown>;
    expect(await count('', scoped)).toMatchObject({
      agentCount: 2,
      transports: [{ agentCount: 0 }, { agentCount: 2 }],
    });
    expect(await count(`?label=region%3D${SOUTH}`, scoped)).toMatchObject({ agentCount: 0 });
    expect(await count(`?name=${NORTH}-1&name=${SOUTH}-1`, scoped)).toMatchObject({ agentCount: 1 });
    const all = await count(`?name=${NORTH}-1&name=${SOUTH}-1`);
    expect(all).toMatchObject({ agentCount: 2, versions: [{ agentCount: 2 }] });
    expect(all['states']).toContainEqual({ state: 'revoked', agentCount: 0 });
    expect((await send('GET', '/status?state=boss')).json).toMatchObject({ errors: [{ parameter: 'state' }] });
  });

  test('says what it is', async () => {
    expect((await sendScoped('GET', '/login')).json).toMatchObject({ role: 'administrator', scope: SCOPE });
  });

  test('has a stream no longer than an address rule lets its role in', async () => {
    const made = await send('POST', '/api-tokens', { name: 'v', role: 'viewer', scope: SCOPE });
    const headers = { authorization: `Bearer ${String(made.json['token'])}`, accept: 'text/event-stream' };
    const response = await fetch(`http://127.0.0.1:${central.port('http')}${PREFIX}/events?after=newest`, { headers });
    expect((await send('PATCH', '/parameters', { 'access.viewer.deny': ['127.0.0.1'] })).status).toBe(200);
    expect(await response.text()).toMatch(/event: end\ndata: \{.*"code":"address_denied"/);
  });

  test('streams its own events, and the stream ends with a problem when Central stops', async () => {
    const response = await fetch(`http://127.0.0.1:${central.port('http')}${PREFIX}/events`, {
      headers: { authorization: `Bearer ${scoped}`, accept: 'text/event-stream' },
    });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    const readUntil = async (isEnough: () => boolean): Promise<void> => {
      for (let part = await reader?.read(); part?.done === false; part = await reader?.read()) {
        text += part.value;
        if (isEnough()) return;
      }
    };
    await readUntil(() => (text.match(/^event: event$/gm) ?? []).length === 2);
    await Promise.all([central.stop(), readUntil(() => false)]);
    expect(text).not.toContain(SOUTH);
    expect(text).toMatch(/event: end\ndata: \{.*"code":"central_stopping".*"status":503.*\}\n\n$/);
  });
});

/** A stream of `GET /watch`; `until` reads on until the text so far matches. */
async function watching(token: string, query: string) {
  const response = await fetch(`http://127.0.0.1:${central.port('http')}${PREFIX}/watch${query}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  return {
    async until(pattern: RegExp): Promise<string> {
      while (!pattern.test(text)) {
        const part = await reader?.read();
        if (part?.done !== false) throw new Error(`the stream ended: ${text}`);
        text += part.value;
      }
      return text;
    },
  };
}

/** Of acts: what they need to be carried out. */
const BODIES: Readonly<Record<string, unknown>> = {
  'PATCH /agents/{agent}': { notes: 'x' },
  'POST /agents/{agent}/replace': { by: `${NORTH}-2` },
  'POST /agents/{agent}/commands': { type: 't' },
  'POST /agents/{agent}/revoke': {},
  'POST /agents/{agent}/recovery-code': {},
  'PATCH /api-tokens/{token}': { name: 'x' },
};

/** The other region, as an administrator without a scope sees it. */
async function southAsSeen(): Promise<readonly unknown[]> {
  const read = async (path: string) => (await send('GET', path)).json;
  return await Promise.all([
    ...[1, 2].flatMap((i) => [read(`/agents/${SOUTH}-${i}`), read(`/agents/${SOUTH}-${i}/commands`)]),
    read('/rollouts/r-2'),
    read('/tasks/t-3'),
    read('/tasks/t-4'),
    read('/tasks/t-5'),
    read(`/agents/${SOUTH}-1/recovery-code`),
    (async () => ({ ...(await read(`/api-tokens/${things[SOUTH].token}`)), lastUsedAt: null }))(),
  ]);
}

// GET /watch: what changed, as its own route answers it, behind a position and as it happens.
import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { makeRequest } from '../../../../agent/enrollment/csr.ts';
import { Cleanup } from '../../../flow/processes.ts';
import { sendTo, startInProcess } from '../../in-process.ts';
import { agentRecord } from '../../fakes.ts';
import { startRest, type Rest } from '../rest.ts';
import type { AdminServices } from '../../../../central/admin/services.ts';

/** `until` reads on until the text so far matches. */
function reading(response: Response) {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  return {
    until: async (pattern: RegExp): Promise<string> => {
      while (!pattern.test(text)) {
        const { value, done } = (await reader?.read()) ?? { value: undefined, done: true };
        if (done) throw new Error(`the stream ended: ${text}`);
        text += value;
      }
      return text;
    },
    cancel: async () => await reader?.cancel(),
  };
}

async function open(rest: Rest, query = '', headers: Record<string, string> = {}) {
  const abort = new AbortController();
  onTestFinished(() => abort.abort());
  const response = await fetch(`${rest.url}/api/v1/watch${query}`, {
    headers: { authorization: `Bearer ${rest.tokens.viewer}`, ...headers },
    signal: abort.signal,
  });
  return { response, ...reading(response) };
}

const TASK = {
  key: 'a'.repeat(32),
  handler: 'backup',
  arguments: [],
  stateChangedAt: 1,
  stateReason: { code: '', detail: '', hint: '' },
  stateDeadlineAt: null,
  deadlineAt: 1,
  createdAt: 1,
  createdBy: 'operator',
  comment: null,
  ticket: null,
  startedAt: 1,
  endedAt: null,
  exitCode: null,
  stdout: null,
  stderr: null,
  lateResult: null,
};

const dataOf = (text: string, name: string): unknown =>
  JSON.parse(new RegExp(String.raw`^event: ${name}\ndata: (.*)$`, 'm').exec(text)?.[1] ?? 'null');
const lastId = (text: string): string => text.slice(text.lastIndexOf('id: ') + 4).split('\n')[0] ?? '';

describe('a stream of changes', () => {
  it('has each changed resource as its own route answers it, and one that was deleted by its id', async () => {
    const rest = await startRest();
    rest.agents.push(agentRecord({ id: 'a1', name: 'branch-1' }));
    const stream = await open(rest);
    expect(stream.response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    await stream.until(/^retry: 2000\nid: [0-9a-f]{12}-0\n\n/);
    rest.resourceChanges.note('agents', 'a1');
    rest.resourceChanges.note('parameters', 'agents.max');
    rest.resourceChanges.note('nodes', 'n1');
    rest.resourceChanges.note('agents', 'gone');
    rest.resourceChanges.note('changes', 'gone');
    const text = await stream.until(/^event: change.deleted\n.*\n\n/m);
    const {
      consumers: _,
      inboxFull: __,
      queues: ___,
      devicePort: ____,
      ...agent
    } = (await (await rest.request('GET', '/agents/a1')).json()) as Record<string, unknown>;
    expect(dataOf(text, 'agent.updated')).toEqual(agent);
    expect(dataOf(text, 'parameter.updated')).toEqual(
      await (await rest.request('GET', '/parameters/agents.max')).json(),
    );
    expect(dataOf(text, 'node.updated')).toEqual(await (await rest.request('GET', '/nodes/n1')).json());
    expect(dataOf(text, 'agent.deleted')).toEqual({ id: 'gone' });
    expect(dataOf(text, 'change.deleted')).toEqual({ id: 'gone' });
    // A client that is cut between the five has them all again.
    expect(text.match(/^id: /gm)).toHaveLength(2);
    expect(lastId(text)).toBe(rest.resourceChanges.newest());
  });

  it('continues behind Last-Event-ID, has only the collections that are wanted, and says when it knows no more', async () => {
    const rest = await startRest();
    const before = rest.resourceChanges.newest();
    rest.resourceChanges.note('parameters', 'agents.max');
    rest.resourceChanges.note('agents', 'x');
    const later = await open(rest, `?collections=agents,rollouts&after=${before}`);
    const text = await later.until(/^event: agent.deleted\n.*\n\n/m);
    expect(text).not.toContain('parameter');
    const resumed = await open(rest, `?after=${before}`, { 'last-event-id': lastId(text) });
    rest.resourceChanges.note('agents', 'y');
    expect(await resumed.until(/deleted\n.*\n\n/)).not.toContain('"x"');
    const other = await open(rest, '?collections=agents&after=0123456789ab-7');
    const reset = await other.until(/^event: reset\n.*\n\n/m);
    expect(dataOf(reset, 'reset')).toEqual({ collections: ['agents'] });
    expect(lastId(reset)).toBe(rest.resourceChanges.newest());
    rest.resourceChanges.note('agents', 'z');
    await other.until(/^event: agent.deleted\ndata: \{"id":"z"\}\n\n/m);
  });

  it('has the tasks of the agents in the scope, and one event for all tasks of an agent that is deleted or goes out of it', async () => {
    const task = (number: number, id: string) => ({
      ...TASK,
      number,
      agent: { id, name: `branch-${id}` },
      state: 'running' as const,
    });
    const known = new Map([
      ['t-1', task(1, 'a1')],
      ['t-2', task(2, 'a2')],
    ]);
    const find = async (id: string) => known.get(id) ?? Promise.reject(new Error(`no ${id}`));
    const rest = await startRest(async () => ({ tasks: { find } as unknown as AdminServices['tasks'] }));
    rest.agents.push({ ...agentRecord({ id: 'a1', name: 'branch-a1' }), labels: { region: 'north' } });
    rest.agents.push({ ...agentRecord({ id: 'a2', name: 'branch-a2' }), labels: { region: 'south' } });
    const made = await rest.request('POST', '/api-tokens', {
      body: { name: 'north', role: 'viewer', scope: 'label:region=north' },
    });
    const { token } = (await made.json()) as { token: string };
    const stream = await open(rest, '?collections=tasks', { authorization: `Bearer ${token}` });
    await stream.until(/^id: /m);
    rest.resourceChanges.note('tasks', 't-2');
    // Neither of which changes any task.
    rest.resourceChanges.note('agents', 'a1');
    rest.resourceChanges.note('agents', 'gone', { isDeleted: true, labelsBefore: { region: 'south' } });
    rest.resourceChanges.note('tasks', 't-1');
    const text = await stream.until(/^event: task.updated\n.*\n\n/m);
    expect(text.match(/^event: .*$/gm)).toEqual(['event: task.updated']);
    expect(dataOf(text, 'task.updated')).toMatchObject({ id: 't-1', agent: { id: 'a1' }, state: 'running' });
    rest.resourceChanges.note('agents', 'a3', { isDeleted: true, labelsBefore: { region: 'north' } });
    expect(dataOf(await stream.until(/^event: agent.deleted\n.*\n\n/m), 'agent.deleted')).toEqual({ id: 'a3' });
    const all = await open(rest, '?collections=tasks');
    await all.until(/^id: /m);
    rest.resourceChanges.note('tasks', 't-2');
    await all.until(/^event: task.updated\ndata: \{"id":"t-2"/m);
  });

  it('ends with a problem when its token is deleted', async () => {
    const rest = await startRest();
    const stream = await open(rest);
    await stream.until(/retry/);
    const id = /^qg_(\w{16})_/.exec(rest.tokens.viewer)?.[1] ?? '';
    expect((await rest.request('DELETE', `/api-tokens/${id}`)).status).toBe(204);
    rest.resourceChanges.note('agents', 'x');
    expect(await stream.until(/event: end\n.*\n/)).toMatch(/"code":"unauthenticated"/);
  });

  it('refuses a collection that it does not have and a position of something else', async () => {
    const rest = await startRest();
    for (const [query, place] of [
      ['?collections=agents,events', 'collections'],
      ['?after=17', 'after'],
      ['?after=newest', 'after'],
    ] as const) {
      const response = await rest.request('GET', `/watch${query}`, { as: 'viewer' });
      expect([query, response.status]).toEqual([query, 400]);
      expect(await response.json()).toMatchObject({ errors: [{ parameter: place }] });
    }
    const named = await rest.request('GET', '/watch', { headers: { 'last-event-id': 'x' } });
    expect(await named.json()).toMatchObject({ errors: [{ header: 'Last-Event-ID' }] });
  });
});

describe('a running Central', () => {
  it('answers other requests of an address from which seventy streams are open', async () => {
    const cleanup = new Cleanup();
    onTestFinished(() => cleanup.run());
    const central = await startInProcess(await cleanup.folder(), '--central-name', 'central.test');
    onTestFinished(() => central.stop());
    const streams = await Promise.all(
      Array.from({ length: 70 }, async (_, index) => {
        const path = index % 2 === 0 ? '/api/v1/watch' : '/api/v1/events';
        return await sendTo(central, { method: 'GET', path, headers: { accept: 'text/event-stream' } });
      }),
    );
    expect(new Set(streams.map(({ status }) => status))).toEqual(new Set([200]));
    expect((await sendTo(central, { method: 'GET', path: '/api/v1/agents' })).status).toBe(200);
    await Promise.all(streams.map(async ({ body }) => await body?.cancel()));
  });

  it('shows an agent that enrolls, a parameter that changes, and the change that waits and ends', async () => {
    const cleanup = new Cleanup();
    onTestFinished(() => cleanup.run());
    const central = await startInProcess(await cleanup.folder(), '--central-name', 'central.test');
    onTestFinished(() => central.stop());
    const stream = reading(await sendTo(central, { method: 'GET', path: '/api/v1/watch' }));
    await stream.until(/^id: /m);
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { pem: csr } = await makeRequest({ privateKey, pem: '', publicKey: '', thumbprint: '' }, 'branch-1');
    const made = await sendTo(central, { method: 'POST', path: '/api/v1/agents', body: { csr, name: 'branch-1' } });
    expect(made.status).toBe(201);
    await stream.until(/^event: agent.updated\ndata: .*"name":"branch-1".*"certificate":\{/m);
    const changed = await sendTo(central, {
      method: 'PATCH',
      path: '/api/v1/parameters?confirmWithinSeconds=600',
      body: { 'agents.max': 77 },
    });
    expect(changed.status).toBe(202);
    await stream.until(/^event: parameter.updated\ndata: \{"name":"agents.max".*"value":77/m);
    await stream.until(/^event: change.updated\ndata: .*"state":"pending"/m);
    await sendTo(central, { method: 'POST', path: `${changed.headers.get('location') ?? ''}/rollback` });
    await stream.until(/^event: change.updated\ndata: .*"state":"rolled-back"/m);
    await stream.cancel();
  });
});

// An agent whose machine is replaced, by a request and by another agent, against a running Central.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeRequest } from '../../../../agent/enrollment/csr.ts';
import { loadOrCreateKey } from '../../../../agent/identity/identity.ts';
import type { RunningCentral } from '../../../../central/composition/lifecycle.ts';
import { Cleanup } from '../../../flow/processes.ts';
import { queuegateFor } from '../../cli/over-socket.ts';
import { sendTo, startInProcess } from '../../in-process.ts';

const cleanup = new Cleanup();
let central: RunningCentral;

beforeAll(async () => {
  central = await startInProcess(await cleanup.folder(), '--central-name', 'central.test');
});
afterAll(async () => {
  await central.stop();
  await cleanup.run();
});

async function json(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  return (await (await sendTo(central, { method, path: `/api/v1${path}`, body })).json()) as Record<string, unknown>;
}

/** A machine with a key of its own. */
async function machine(name: string) {
  const key = await loadOrCreateKey(await cleanup.folder());
  return { csr: (await makeRequest(key, name)).pem, thumbprint: key.thumbprint, name };
}

const queuegate = async (line: string, typed?: string) => {
  const administrator = central.firstStart?.administratorToken ?? '';
  const run = await queuegateFor({ url: `http://127.0.0.1:${central.port('http')}`, tokens: { administrator } });
  return await run(line, typed === undefined ? {} : { typed });
};

/** What was decided, by the audit log. */
async function decisions(): Promise<unknown> {
  const actions = ['agents.replace', 'enrollment-requests.accept', 'enrollment-requests.reject', 'commands.withdraw'];
  return (await json('GET', `/audit?${actions.map((action) => `action=${action}`).join('&')}`))['items'];
}

test('by an enrollment request the agent keeps its id and gets the key of the new machine', async () => {
  await json('PATCH', '/parameters', { 'agents.enrollment': 'approve' });
  const { csr } = await machine('branch-7');
  const old = await json('POST', '/agents', { csr });
  await json('POST', `/agents/branch-7/commands`, { type: 'printer.restart' });
  // A new machine with the name of the old one: it could not be accepted as an agent of its own.
  const next = await machine('branch-7');
  const ask = async () => {
    const response = await fetch(`http://127.0.0.1:${central.port('ws')}/enroll`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ csr: next.csr, name: next.name }),
    });
    return [response.status, await response.json()] as const;
  };
  expect(await ask()).toMatchObject([202, { state: 'pending' }]);
  expect(await json('POST', `/enrollment-requests/${next.thumbprint}/accept`)).toMatchObject({ status: 409 });
  // A dry run finds the same fault, and says what the other acts would do.
  const dryRun = (path: string, body?: unknown) => json('POST', `${path}?dryRun=true`, body);
  const request = `/enrollment-requests/${next.thumbprint}`;
  expect(await dryRun(`${request}/accept`)).toMatchObject({ status: 409, code: 'agent_name_taken' });
  expect(await dryRun(`${request}/reject`)).toMatchObject({
    changed: [{ name: 'state', from: 'pending', to: 'rejected' }],
    cutOff: { count: 0 },
  });
  const by = next.thumbprint.slice(0, 16);
  expect(await dryRun('/agents/branch-7/replace', { by })).toEqual({
    dryRun: true,
    changed: [{ name: 'keyThumbprint', from: old['keyThumbprint'], to: next.thumbprint }],
    cutOff: { count: 0, items: [] },
    notices: [],
    needsForce: false,
    change: null,
    result: null,
  });
  expect(await queuegate(`agents replace branch-7 --by ${by} --dry-run`)).toMatchObject({
    status: 0,
    out: `branch-7 would be replaced by ${by}.`,
  });
  expect(await queuegate(`enrollment-requests reject ${by} --dry-run`)).toMatchObject({
    status: 0,
    out: 'The request would be rejected.',
  });
  expect(await json('GET', request)).toMatchObject({ state: 'pending' });
  expect(await json('GET', '/agents/branch-7')).toMatchObject({ keyThumbprint: old['keyThumbprint'] });
  expect(await decisions()).toEqual([]);
  expect(await queuegate(`agents replace branch-7 --by ${by}`)).toMatchObject({ status: 2 });
  expect(await queuegate(`agents replace branch-7 --by ${by}`, 'y\n')).toMatchObject({ status: 0, error: '' });
  expect(await json('GET', '/agents/branch-7')).toMatchObject({
    id: old['id'],
    keyThumbprint: next.thumbprint,
    logs: { down: { messageCount: 1 } },
  });
  expect(await ask()).toMatchObject([200, { id: old['id'], name: 'branch-7' }]);
  expect(await json('GET', `/enrollment-requests/${by}`)).toMatchObject({ state: 'accepted' });
});

test('by another agent that one takes name, labels and what waits, and the old one is gone', async () => {
  for (const name of ['branch-8', 'spare']) await json('POST', '/agents', { csr: (await machine(name)).csr });
  await json('PATCH', '/agents/branch-8', { labels: { region: 'north' } });
  await json('POST', '/agents/branch-8/commands', { type: 'printer.restart' });
  const spare = await json('GET', '/agents/spare');
  expect(await json('POST', '/agents/branch-8/replace', { by: 'nothing' })).toMatchObject({
    code: 'request_invalid',
    errors: [{ pointer: '#/by' }],
  });
  expect(await json('POST', '/agents/branch-8/replace', { by: 'branch-8' })).toMatchObject({ status: 422 });
  const dryRun = async (by: string) => await json('POST', '/agents/branch-8/replace?dryRun=true', { by });
  expect(await dryRun('branch-8')).toMatchObject({ status: 422, code: 'agent_replaces_itself' });
  const { id } = await json('GET', '/agents/branch-8');
  expect(await dryRun('spare')).toMatchObject({
    dryRun: true,
    changed: [
      { name: 'name', from: 'spare', to: 'branch-8' },
      { name: 'labels', from: {}, to: { region: 'north' } },
      { name: 'id', from: id, to: spare['id'] },
    ],
  });
  expect(await json('GET', '/agents/spare')).toEqual(spare);
  expect(await json('POST', '/agents/branch-8/replace?ticket=CHG-5', { by: 'spare' })).toMatchObject({
    id: spare['id'],
    name: 'branch-8',
    nameSource: 'administrator',
    labels: { region: 'north' },
    logs: { down: { messageCount: 1 } },
  });
  expect(await json('GET', '/agents/spare')).toMatchObject({ status: 404 });
  expect(await json('GET', '/audit?action=agents.replace')).toMatchObject({ items: [{ ticket: 'CHG-5' }, {}] });
});

test('a dry run of a decision on a request, or of a withdrawal, changes nothing and leaves no entry', async () => {
  const { csr, thumbprint, name } = await machine('branch-9');
  await fetch(`http://127.0.0.1:${central.port('ws')}/enroll`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ csr, name }),
  });
  const before = await decisions();
  expect(await json('POST', `/enrollment-requests/${thumbprint}/accept?dryRun=true`)).toMatchObject({
    dryRun: true,
    changed: [{ name: 'state', from: 'pending', to: 'accepted' }],
  });
  expect(await queuegate(`enrollment-requests accept ${thumbprint} --dry-run`)).toMatchObject({
    status: 0,
    out: 'The request would be accepted.',
  });
  expect(await json('GET', '/agents/branch-9')).toMatchObject({ status: 404 });

  await json('POST', '/agents/branch-8/commands', { type: 'printer.stop', source: '/test', id: 'w1' });
  const sent = (await json('GET', '/commands?source=/test&id=w1'))['items'] as { commandId: string }[];
  const path = `/commands/${sent[0]?.commandId ?? ''}`;
  expect(await json('DELETE', `${path}?dryRun=true`)).toMatchObject({
    dryRun: true,
    changed: [{ name: 'state', from: 'queued', to: 'withdrawn' }],
  });
  expect(await queuegate(`commands withdraw ${sent[0]?.commandId ?? ''} --dry-run`)).toMatchObject({
    status: 0,
    out: `${sent[0]?.commandId ?? ''} would be withdrawn.`,
  });
  expect(await json('GET', path)).toMatchObject({ state: 'queued' });
  expect(await decisions()).toEqual(before);
  expect(await queuegate(`commands withdraw ${sent[0]?.commandId ?? ''}`)).toMatchObject({ status: 0 });
  // A second one is refused, in a dry run too.
  expect(await json('DELETE', `${path}?dryRun=true`)).toMatchObject({ status: 409, code: 'command_delivered' });
});

// Commands of an agent that never connected, over REST and with queuegate, against a running Central.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeRequest } from '../../../../agent/enrollment/csr.ts';
import { loadOrCreateKey } from '../../../../agent/identity/identity.ts';
import type { RunningCentral } from '../../../../central/composition/lifecycle.ts';
import { Cleanup } from '../../../flow/processes.ts';
import { sendTo, startInProcess } from '../../in-process.ts';
import { queuegateFor } from '../../cli/over-socket.ts';

const cleanup = new Cleanup();
let central: RunningCentral;

async function json(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  const response = await sendTo(central, { method, path: `/api/v1${path}`, body });
  return response.status === 204 ? { status: 204 } : ((await response.json()) as Record<string, unknown>);
}

beforeAll(async () => {
  central = await startInProcess(await cleanup.folder(), '--central-name', 'central.test');
  for (const name of ['branch-7', 'branch-8']) {
    const { pem: csr } = await makeRequest(await loadOrCreateKey(await cleanup.folder()), name);
    await json('POST', '/agents', { csr });
  }
});
afterAll(async () => {
  await central.stop();
  await cleanup.run();
});

const command = (id: string) => ({ specversion: '1.0', id, source: '/bank', type: 'printer.restart', data: { no: 1 } });

test('what waits is listed, of all agents or of one, and each command has its state by the id that its sender got', async () => {
  const { items } = (await json('POST', '/agents/branch-7/commands', [command('c1'), command('c2')])) as {
    items: { commandId: string }[];
  };
  await json('POST', '/agents/branch-8/commands', command('c1'));
  const { items: waiting } = (await json('GET', '/commands')) as { items: Record<string, unknown>[] };
  expect(waiting.map(({ id, agent }) => [id, (agent as { name: string }).name])).toEqual([
    ['c1', 'branch-7'],
    ['c2', 'branch-7'],
    ['c1', 'branch-8'],
  ]);
  const [first] = items;
  expect(await json('GET', `/commands/${first?.commandId}`)).toEqual({
    commandId: first?.commandId,
    agent: { id: expect.any(String), name: 'branch-7' },
    state: 'queued',
    queuedAt: expect.stringMatching(/Z$/),
    expiresAt: null,
    number: 1,
    id: 'c1',
    source: '/bank',
    type: 'printer.restart',
    text: expect.stringContaining('"source":"/bank"'),
  });
  expect(await json('GET', '/agents/branch-8/commands')).toMatchObject({ items: [{ id: 'c1' }] });
  expect(await json('GET', '/commands?source=/bank&id=c1')).toMatchObject({ items: [{ number: 1 }, { number: 1 }] });
  expect(await json('GET', '/commands?source=/bank&id=c1&agent=branch-8')).toMatchObject({ items: [{ number: 1 }] });
  const page = await json('GET', '/commands?limit=2');
  expect(await json('GET', `/commands?limit=2&after=${String(page['next'])}`)).toMatchObject({
    items: [{ id: 'c1', agent: { name: 'branch-8' } }],
  });
  expect(await json('GET', '/commands?source=/bank')).toMatchObject({ errors: [{ parameter: 'id' }] });
  const queued = await json('GET', '/commands?state=queued&state=delivered&limit=2');
  expect(queued).toMatchObject({ items: [{ state: 'queued' }, { state: 'queued' }] });
  expect(
    await json('GET', `/commands?state=queued&state=delivered&limit=2&after=${String(queued['next'])}`),
  ).toMatchObject({ items: [{ agent: { name: 'branch-8' } }], next: null });
  expect(await json('GET', '/commands?state=delivered&agent=branch-7')).toEqual({ items: [], next: null });
  expect(await json('GET', '/commands?source=/bank&id=c1&state=expired')).toMatchObject({ items: [] });
  expect(await json('GET', '/commands?state=lost')).toMatchObject({
    errors: [{ parameter: 'state', allowed: ['queued', 'delivered', 'acknowledged', 'expired', 'withdrawn'] }],
  });
  for (const id of ['x', '0'.repeat(32)])
    expect(await json('GET', `/commands/${id}`)).toMatchObject({ status: 404, code: 'command_id_unknown' });
});

test('one that was not sent is withdrawn, and is then a dead letter', async () => {
  const queuegate = await queuegateFor({
    url: `http://127.0.0.1:${central.port('http')}`,
    tokens: { administrator: central.firstStart?.administratorToken ?? '' },
  });
  const [id = ''] = (await queuegate('commands list --agent branch-7 -o name')).out.split('\n').slice(1);
  expect((await queuegate(`commands show ${id}`)).out).toMatch(/^state +queued$/m);
  expect(await queuegate(`commands withdraw ${id} --ticket CHG-3`)).toEqual({
    status: 0,
    out: `Withdrew ${id}.`,
    error: '',
  });
  expect((await queuegate(`commands show ${id}`)).out).toMatch(/^state +withdrawn$/m);
  expect(await queuegate(`commands withdraw ${id}`)).toMatchObject({ status: 7 });
  expect((await queuegate('commands list --source /bank --id c2')).out).toContain('withdrawn');
  expect((await queuegate('commands list --state withdrawn --state expired')).out).toMatch(/ branch-7 +withdrawn /);
  expect((await queuegate('commands list --agent branch-7 -o name')).out.split('\n')).toHaveLength(1);
  expect(await json('GET', '/dead-letters')).toMatchObject({
    items: [{ messageId: 'c2', code: 'message_withdrawn', direction: 'down', place: 'central' }],
  });
  const [letter = ''] = (await queuegate('dead-letters list -o name')).out.split('\n');
  expect(letter).toMatch(/^[0-9a-f]{16}$/);
  expect((await queuegate(`dead-letters show ${letter}`)).out).toMatch(/^code +message_withdrawn$/m);
  for (const list of ['dead-letters', 'incidents'])
    for (const other of ['x', 'f'.repeat(16), '0000000000000000'])
      expect(await queuegate(`${list} show ${other}`)).toMatchObject({
        status: 5,
        error: expect.stringContaining('(row_unknown)'),
      });
  expect(await json('GET', '/audit?action=commands.*')).toMatchObject({
    items: [{ action: 'commands.withdraw', ticket: 'CHG-3' }],
  });
  expect(await queuegate('commands list --id c2')).toMatchObject({ status: 2 });
  expect((await queuegate('commands list --source /bank --id none')).out).toBe('No such command is known.');
});

test('a command goes to all selected agents; what one refuses stops no other', async () => {
  const queuegate = await queuegateFor({
    url: `http://127.0.0.1:${central.port('http')}`,
    tokens: { administrator: central.firstStart?.administratorToken ?? '' },
  });
  expect(await json('POST', '/commands?agents=name:branch-*', command('all'))).toMatchObject({
    items: [{ outcome: 'accepted', problem: null }, { outcome: 'accepted' }],
    acceptedCount: 2,
    refusedCount: 0,
  });
  expect(await json('GET', '/commands?source=/bank&id=all')).toMatchObject({ items: [{}, {}] });
  await json('POST', '/agents/branch-8/revoke');
  expect(await queuegate('commands send --agents branch-7 --agents branch-8 --type printer.stop')).toMatchObject({
    status: 6,
    out: expect.stringMatching(/^1 agents have it on Central, 1 refused:\n {2}branch-8: /),
  });
  expect(await json('POST', '/commands', command('none'))).toMatchObject({ errors: [{ parameter: 'agents' }] });
  expect(await json('POST', '/commands?agents=name:x*', command('x'))).toMatchObject({ code: 'selector_empty' });
  expect(await queuegate('commands send --type t')).toMatchObject({ status: 2 });
});

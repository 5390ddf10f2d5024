import { expect, test } from 'vitest';
import { startRest, type Rest } from '../../../admin/rest.ts';
import { agentRecord } from '../../../fakes.ts';
import { queuegateFor, type Queuegate } from '../../over-socket.ts';

interface Central {
  readonly rest: Rest;
  readonly queuegate: Queuegate;
}

const RELEASE = { part: 'profile', digest: '3f9c21ab'.repeat(8), name: 'branch' } as const;

/** Two agents in the north, and a revoked one in the south; `queuegate` over a socket as in Central's data folder. */
async function start(): Promise<Central> {
  const rest = await startRest();
  for (const [name, region, state] of [
    ['branch-1', 'north', 'online'],
    ['branch-2', 'north', 'disconnected'],
    ['branch-3', 'south', 'revoked'],
  ] as const)
    rest.agents.push({ ...agentRecord({ name }), labels: { region }, state, releases: [RELEASE] });
  return { rest, queuegate: await queuegateFor(rest) };
}
const states = ({ rest }: Central) => rest.agents.map(({ state }) => state);

test('set changes one agent; an empty value deletes a label and the notes, and gives the name back', async () => {
  const central = await start();
  const set = await central.queuegate('agents set branch-1 name=kasse-1 labels.tier=test labels.region= notes=front');
  expect(set).toEqual({ status: 0, error: '', out: 'Set kasse-1: labels tier=test, notes front.' });
  expect(central.rest.agents[0]).toMatchObject({ name: 'kasse-1', isNameSet: true, labels: { tier: 'test' } });
  expect(await central.queuegate('agents set kasse-1 name= notes= --if-match "0"')).toMatchObject({ status: 7 });
  expect(await central.queuegate('agents set kasse-1 name= notes= --if-match "1"')).toMatchObject({ status: 0 });
  expect(central.rest.agents[0]).toMatchObject({ isNameSet: false, notes: '' });
  expect((await central.queuegate('agents show kasse-1')).out).toMatch(/^labels +tier=test$/m);
});

test('history shows the changes of its state, newest first', async () => {
  const { queuegate } = await start();
  const { out } = await queuegate('agents history branch-1');
  expect(out.split('\n').map((line) => line.split(/ {2,}/).slice(1))).toEqual([
    ['STATE', 'REASON'],
    ['disconnected', 'The connection was cut. (session_cut)'],
    ['enrolled', 'It is enrolled. (not_yet_connected)'],
  ]);
  expect(await queuegate('agents history branch-1 --limit 1')).toMatchObject({
    status: 0,
    error: expect.stringContaining('There is more'),
  });
  expect(await queuegate('agents history branch-9')).toMatchObject({ status: 5 });
});

test('set with --agents sets labels of all that are selected', async () => {
  const central = await start();
  expect(
    await central.queuegate('agents set --agents label:region=north --agents branch-2 labels.wave=1'),
  ).toMatchObject({
    status: 0,
    out: '2 agents set.',
  });
  expect(central.rest.agents[1]).toMatchObject({ labels: { region: 'north', wave: '1' } });
  for (const line of [
    'agents set branch-1',
    'agents set branch-1 region=north',
    'agents set branch-1 labels.a=b --dry-run',
    'agents set --agents all notes=x',
    'agents set --agents all labels.a=b --if-match "1"',
  ])
    expect([line, (await central.queuegate(line)).status]).toEqual([line, 2]);
});

test('disable and enable act on one agent or on a selection, and exit with 6 when an agent refused', async () => {
  const central = await start();
  expect(await central.queuegate('agents disable branch-1')).toMatchObject({ status: 0, out: 'Disabled branch-1.' });
  expect(await central.queuegate('agents enable branch-1')).toMatchObject({ status: 0, out: 'Enabled branch-1.' });
  const all = await central.queuegate('agents disable --agents all');
  expect(all.status).toBe(6);
  expect(all.out).toMatch(/^2 agents disabled, 1 refused:\n {2}branch-3: The agent branch-3 is revoked/);
  expect(states(central)).toEqual(['disabled', 'disabled', 'revoked']);
  expect(await central.queuegate('agents enable --agents label:region=west')).toMatchObject({ status: 6 });
  expect(await central.queuegate('agents enable branch-1 --agents all')).toMatchObject({ status: 2 });
  expect(await central.queuegate('agents enable')).toMatchObject({ status: 2 });
});

test('a dry run shows what would change and whom it would cut off', async () => {
  const central = await start();
  const { status, out } = await central.queuegate('agents disable --agents all --dry-run');
  expect(status).toBe(0);
  expect(out.split('\n')).toEqual([
    '3 agents are selected. Would change:',
    '  branch-1: online -> disabled',
    '  branch-2: disconnected -> disabled',
    'Would cut off:',
    '  branch-1: Its session would end, and it would be refused until it is enabled.',
    'Note: 1 of the selected agents are revoked and would be refused: branch-3.',
  ]);
  expect(states(central)).toEqual(['online', 'disconnected', 'revoked']);
});

test('revoke asks with the number of agents, and does nothing without a yes', async () => {
  const central = await start();
  const line = 'agents revoke --agents label:region=north --reason keyCompromise';
  const no = await central.queuegate(line, { typed: 'n\n' });
  expect(no.status).toBe(1);
  expect(central.rest.revoked).toEqual([]);
  expect(await central.queuegate(line)).toMatchObject({ status: 2 });
  expect(await central.queuegate(line, { typed: 'y\n' })).toMatchObject({ status: 0, out: '2 agents revoked.' });
  expect(central.rest.revoked).toMatchObject([{ reason: 'keyCompromise' }, { reason: 'keyCompromise' }]);
});

test('drains are created, shown, listed and canceled', async () => {
  const central = await start();
  const dry = await central.queuegate('drains create --agents label:region=north --retry-after 30s --dry-run');
  expect(dry).toMatchObject({
    status: 0,
    out: '2 agents are selected.\nSessions that would end:\n  branch-1: Its session would end, and it would reconnect after 30 s.',
  });
  const made = await central.queuegate('drains create branch-2 --agents name:branch-1 --within 10m -o name');
  expect(made).toMatchObject({ status: 0, out: expect.stringMatching(/^[0-9a-f]{16}$/) });
  const shown = await central.queuegate(`drains show ${made.out}`);
  expect(shown.out).toMatch(/^selected +2, of which 1 were offline$/m);
  expect(shown.out).toMatch(/^within +600 s, retry after 0 s$/m);
  expect(await central.queuegate(`drains show ${made.out} --wait=5s`)).toMatchObject({ status: 0 });
  expect((await central.queuegate('drains list -o name')).out).toBe(made.out);
  expect(await central.queuegate(`drains cancel ${made.out}`)).toMatchObject({ status: 7 });
  expect(await central.queuegate('drains show none')).toMatchObject({ status: 5 });
  expect(await central.queuegate('drains create')).toMatchObject({ status: 2 });
});

test('the list is filtered by labels and names, and shows labels when it is wide', async () => {
  const central = await start();
  const list = async (line: string) => (await central.queuegate(`agents list ${line}`)).out.split('\n');
  expect(await list('-l region=north --output name')).toEqual(['branch-1', 'branch-2']);
  expect(await list('-l region=north -l region=south --name *-1 --name *-3 -o name')).toEqual(['branch-1', 'branch-3']);
  const filters = '--state enrolled --state online --transport wss --agent-version 0.1.0 --release branch@0123abcd';
  expect(await central.queuegate(`agents list ${filters} --last-seen-before 2026-11-27T08:00:00Z`)).toMatchObject({
    status: 0,
  });
  expect(await central.queuegate('agents list --transport tls')).toMatchObject({ status: 6 });
  const [header, first] = await list('--wide');
  expect(header).toMatch(/VERSION +RELEASE +LAST SEEN +WHY +LABELS$/);
  expect(first).toMatch(/ branch@3f9c21ab .* region=north$/);
  expect((await central.queuegate('agents show branch-1')).out).toMatch(/^profile +branch@3f9c21ab$/m);
});

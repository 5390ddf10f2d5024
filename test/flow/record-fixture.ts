// Records what a version leaves on disk and says on the line: node test/flow/record-fixture.ts FOLDER. Each release
// adds such a folder once, made by its own code; test/flow/compatibility.test.ts opens and speaks all of them. Its keys
// are those of a test and of nothing else.
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { gzipSync } from 'node:zlib';
import { withChecksum } from '../../shared/wire/checksum.ts';
import type { Challenge } from '../../shared/wire/messages.ts';
import { packPrograms } from './frozen-programs.ts';
import { AgentProcess, CentralProcess, Cleanup, until } from './processes.ts';
import { enrollKey, newKey, RawAgent } from './raw-agent.ts';

/** One line of a conversation, as it was on an unencrypted connection. */
interface Line {
  readonly from: 'agent' | 'central';
  readonly text: string;
}

/** The test starts Central by the same name. */
const NAME = ['--central-name', 'central-1'];
const INCARNATION = 'fixture-events';
const event = (id: string): object => ({
  specversion: '1.0',
  id,
  source: '/fixture',
  type: 'ticket.issued',
  time: '2026-01-02T03:04:05Z',
  data: { number: id, exact: 1.1 },
});

/** An agent by hand, with all that passes on its line. */
async function dial(cleanup: Cleanup, central: CentralProcess) {
  const lines: Line[] = [];
  const agent = await RawAgent.ws(cleanup, central);
  lines.push({ from: 'central', text: JSON.stringify(agent.frames[0]) });
  agent.webSocket.on('message', (data: Buffer) => lines.push({ from: 'central', text: data.toString() }));
  const send = (frame: object): void => {
    const text = withChecksum(JSON.stringify(frame));
    lines.push({ from: 'agent', text });
    agent.webSocket.send(text);
  };
  return { agent, lines, send, challenge: agent.frames[0] as unknown as Challenge };
}

/** The database in one file without free pages, compressed. */
async function saveDatabase(folder: string, name: string, to: string): Promise<void> {
  const packed = join(folder, `packed-${name}`);
  const database = new DatabaseSync(join(folder, name));
  database.exec(`VACUUM INTO '${packed}'`);
  database.close();
  await writeFile(join(to, `${name}.gz`), gzipSync(await readFile(packed), { level: 9 }));
}

async function record(cleanup: Cleanup, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  const folder = await cleanup.folder();
  let central = await CentralProcess.start(cleanup, folder, NAME);
  // However old the fixture gets, its events are not pruned.
  const kept = await central.change({ 'events.retentionDays': 3650 });
  if (kept.status !== 200) throw new Error(`the retention was answered with ${kept.status}`);
  const key = newKey();
  const id = await enrollKey(central, key, 'raw-1');
  const command = async (agent: string, name: string): Promise<void> => {
    const body = { ...event(name), source: '/central' };
    const { status } = await central.rest('POST', `/agents/${agent}/commands`, body);
    if (status !== 202) throw new Error(`the command ${name} was answered with ${status}`);
  };

  // A first session, so that the store knows both logs.
  const first = await dial(cleanup, central);
  first.send(first.agent.hello({ id, key, name: 'raw-1' }));
  await first.agent.frame('welcome');
  first.send({ type: 'begin', incarnation: INCARNATION, next: 1, missing: null });
  first.send({ type: 'messages', first: 1, items: [event('e-1'), event('e-2')] });
  await first.agent.frame('ack');
  first.agent.webSocket.terminate();

  // An agent with messages of both directions on its disk; two events wait for a Central that is gone.
  const agent = await AgentProcess.enrolled(cleanup, central, 'branch-1');
  await central.online('branch-1');
  await agent.local('POST', '/api/v1/events', event('b-1'));
  await command('branch-1', 'c-1');
  await command('branch-1', 'c-2');
  await until(async () => ((await agent.local('GET', '/api/v1/commands')).body.items.length === 2 ? true : undefined));
  await agent.local('POST', '/api/v1/commands/ack', { through: 1 });
  await command('raw-1', 'c-3');
  await until(async () => ((await central.events()).length === 3 ? true : undefined));
  await central.stop();
  await agent.local('POST', '/api/v1/events', event('b-2'));
  await agent.local('POST', '/api/v1/events', event('b-3'));
  await agent.stop();
  await saveDatabase(agent.folders.data, 'agent.db', to);
  await saveDatabase(folder, 'central.db', to);
  for (const name of ['key-encryption-key', 'administrator-token']) await cp(join(folder, name), join(to, name));

  // The conversation that follows on that store.
  central = await CentralProcess.start(cleanup, folder, NAME);
  const { agent: raw, lines, send } = await dial(cleanup, central);
  send(raw.hello({ id, key, name: 'raw-1' }));
  await raw.frame('welcome');
  send({ type: 'begin', incarnation: INCARNATION, next: 3, missing: null });
  send({ type: 'messages', first: 3, items: [event('e-3')] });
  await raw.frame('ack');
  await raw.frame('messages');
  send({ type: 'ack', through: 1 });
  raw.webSocket.terminate();
  const privateKey = key.privateKey.export({ type: 'pkcs8', format: 'pem' });
  await packPrograms(to);
  await writeFile(join(to, 'conversation.json'), `${JSON.stringify({ id, privateKey, lines }, null, 2)}\n`);
}

const cleanup = new Cleanup();
try {
  await record(cleanup, resolve(process.argv[2] ?? ''));
} finally {
  await cleanup.run();
}

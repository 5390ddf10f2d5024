// What released versions left on disk and say on the line is opened and spoken by this one: each folder
// test/fixtures/v* holds both stores and a conversation, recorded once by the code of its version
// (test/flow/record-fixture.ts). The speaker here knows v1 by itself, so that a change of the wire that is made on both
// sides at once shows here.
import { createPrivateKey, sign } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32, gunzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { openAgentStore } from '../../agent/store/store.ts';
import { CentralProcess, Cleanup, ROOT, until } from './processes.ts';

interface Recorded {
  readonly id: string;
  readonly privateKey: string;
  readonly lines: readonly { readonly from: 'agent' | 'central'; readonly text: string }[];
}

type Frame = Readonly<Record<string, unknown>>;

const FIXTURES = join(ROOT, 'test/fixtures');
const versions = readdirSync(FIXTURES).filter((name) => /^v\d/.test(name));
const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** A data folder with a store of this version. */
async function folderWith(version: string, database: string): Promise<string> {
  const folder = await cleanup.folder();
  const packed = await readFile(join(FIXTURES, version, `${database}.gz`));
  await writeFile(join(folder, database), gunzipSync(packed), { mode: 0o600 });
  return folder;
}

async function startedCentral(version: string): Promise<CentralProcess> {
  const folder = await folderWith(version, 'central.db');
  for (const name of ['key-encryption-key', 'administrator-token']) {
    await writeFile(join(folder, name), await readFile(join(FIXTURES, version, name)), { mode: 0o600 });
  }
  return await CentralProcess.start(cleanup, folder, ['--central-name', 'central-1']);
}

const parsed = (text: string): Frame => JSON.parse(text) as Frame;

/** What is the same in each repetition of a frame of Central. */
function lasting(frame: Frame): Frame {
  const { nonce, sentAt, time, sessionId, signature, crc32: _sum, epoch, ...rest } = frame;
  const varying = { nonce, sentAt, time, sessionId, signature, epoch };
  return { ...rest, members: Object.entries(varying).flatMap(([name, value]) => (value === undefined ? [] : [name])) };
}

/** The hello as it was recorded, for another challenge: signed over what v1 signs, in its order. */
function helloAgain(recorded: Frame, challenge: Frame, privateKey: string): string {
  const { crc32: _sum, signature: _old, ...members } = recorded;
  const hello: Frame = { ...members, challenge: challenge['nonce'] };
  const signed = [
    'queuegate.v1 hello',
    challenge['nonce'],
    challenge['centralName'],
    hello['nonce'],
    hello['id'],
    hello['name'],
    hello['key'],
    hello['version'],
    hello['bootId'],
    hello['transport'],
    '',
    '',
    '[]',
    '',
  ];
  const signature = sign('sha256', Buffer.from(JSON.stringify(signed)), createPrivateKey(privateKey)).toString(
    'base64',
  );
  const open = JSON.stringify({ ...hello, signature }).slice(0, -1);
  return `${open},"crc32":"${crc32(open).toString(16).padStart(8, '0')}"}`;
}

describe.each(versions)('%s', (version) => {
  it('left a store of Central that this version opens: agents, events, commands and secrets are there', async () => {
    const central = await startedCentral(version);
    const { id } = parsed(await readFile(join(FIXTURES, version, 'conversation.json'), 'utf8'));
    expect(await central.agent('raw-1')).toMatchObject({ id });
    expect((await central.events()).map(({ event }) => event['id'])).toEqual(['e-1', 'e-2', 'b-1']);
    expect((await central.rest('GET', '/status')).body).toMatchObject({ problems: [] });
  });

  it('left a store of an agent that this version opens: events wait for Central, commands for programs', async () => {
    const store = openAgentStore({
      folder: await folderWith(version, 'agent.db'),
      outbox: { maxMessages: 100, maxBytes: 1_000_000 },
      inbox: { maxMessages: 100, maxBytes: 1_000_000 },
      deduplicationMs: 7 * 86_400_000,
      now: () => Date.now(),
      onFailure: (error) => {
        throw error;
      },
    });
    cleanup.add(() => store.stop());
    const ids = (entries: readonly { readonly json: string | null }[]): unknown[] =>
      entries.map(({ json }) => parsed(json ?? '{}')['id']);
    expect(ids(await store.outbox.read(1, 10, 1_000_000))).toEqual(['b-2', 'b-3']);
    expect(ids(await store.inbox.take('default', 10))).toEqual(['c-2']);
  });

  it('speaks with this version as it spoke with its own', async () => {
    const recorded = JSON.parse(await readFile(join(FIXTURES, version, 'conversation.json'), 'utf8')) as Recorded;
    const central = await startedCentral(version);
    const webSocket = new WebSocket(`ws://127.0.0.1:${central.ports.ws}/agent`, 'queuegate.v1');
    cleanup.add(() => webSocket.terminate());
    const heard: Frame[] = [];
    webSocket.on('message', (data: Buffer) => heard.push(parsed(data.toString())));
    const frame = async (type: unknown): Promise<Frame> =>
      await until(
        () => heard.find((one) => one['type'] === type),
        15_000,
        () => `no ${String(type)}: ${JSON.stringify(heard)}`,
      );
    const repeated: Frame[] = [];
    for (const { from, text } of recorded.lines) {
      const line = parsed(text);
      if (from === 'central') repeated.push(lasting(await frame(line['type'])));
      else if (line['type'] !== 'hello') webSocket.send(text);
      else webSocket.send(helloAgain(line, await frame('challenge'), recorded.privateKey));
    }
    const before = recorded.lines.filter(({ from }) => from === 'central').map(({ text }) => lasting(parsed(text)));
    expect(repeated).toEqual(before);
    expect((await central.events()).at(-1)?.event['id']).toBe('e-3');
  });
});

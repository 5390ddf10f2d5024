// The stream of changes behind --watch: when it says to look again, where it continues, and what it does without one.
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { RestError, type Client } from '../../../../central/cli/client.ts';
import { cliFault } from '../../../../central/cli/errors.ts';
import { runCli } from '../../../../central/cli/run.ts';
import { ChangeStream } from '../../../../central/cli/watching/change-stream.ts';
import { secretsFrom } from '../../../shared/secrets.ts';
import { startRest } from '../../admin/rest.ts';
import { agentRecord } from '../../fakes.ts';
import { socketTo } from '../over-socket.ts';

const HOUR = 3_600_000;
const away = (): Error => cliFault('administration_unreachable', { url: 'https://c:8443', found: 'it restarts' });

/** A stream of changes of agents, from Centrals that come one after the other. */
function streamOf(...centrals: (Readable | Error)[]) {
  const asked: string[] = [];
  const ended = new AbortController();
  onTestFinished(() => ended.abort());
  const client: Pick<Client, 'download'> = {
    async download(path, { query }, method) {
      asked.push(`${method} ${path} ${JSON.stringify(query)}`);
      const next = centrals.shift() ?? away();
      if (next instanceof Error) throw next;
      return next;
    },
  };
  const timing = { pollMs: HOUR, openMs: HOUR, retryMs: 1, maxRetryMs: 4, silentMs: 50 };
  return {
    asked,
    ended,
    stream: (more: Partial<typeof timing> = {}) =>
      new ChangeStream({ client, collection: 'agents', signal: ended.signal, timing: { ...timing, ...more } }),
  };
}

const live = (): Readable => new Readable({ read: () => undefined });
const isPending = async (promise: Promise<unknown>): Promise<boolean> =>
  await Promise.race([promise.then(() => false), delay(20).then(() => true)]);

it('says to look again when it is opened and when something changed, and at no other time', async () => {
  const central = live();
  const stream = streamOf(central).stream({ silentMs: HOUR });
  await stream.next();
  central.push('retry: 2000\nid: aa-1\n\n:\nid: aa-1\n\n');
  const next = stream.next();
  expect(await isPending(next)).toBe(true);
  central.push(`event: agent.updated\ndata: {"id":"${'x'.repeat(100_000)}`);
  expect(await isPending(next)).toBe(true);
  central.push('"}\n\n');
  await next;
});

it('continues behind the last event that came whole when it was cut, and looks again then', async () => {
  const [first, second] = [live(), live()];
  const { stream: make, asked } = streamOf(first, away(), second);
  const stream = make({ silentMs: HOUR });
  await stream.next();
  first.push('retry: 2000\nid: aa-1\n\nid: aa-2\nevent: agent.updated\ndata: {}\n\nid: aa-3\nevent: agent.upd');
  await stream.next();
  first.destroy(new Error('cut'));
  await stream.next();
  await expect.poll(() => asked.length).toBe(3);
  expect(asked.map((one) => /aa-\d|\{"collections":"agents"\}/.exec(one)?.[0])).toEqual([
    '{"collections":"agents"}',
    'aa-2',
    'aa-2',
  ]);
});

it('gives up a stream that is silent for longer than the comments of Central are apart', async () => {
  const { stream: make, asked } = streamOf(live(), live());
  await make().next();
  await expect.poll(() => asked.length).toBe(2);
});

it('is read every two seconds where Central has no such stream for the token, and asks for it once', async () => {
  const refusal = new RestError('scope_too_narrow', { text: 'no', hint: 'ask', status: 403 }, [], {});
  const { stream: make, asked } = streamOf(refusal);
  const stream = make({ pollMs: 5 });
  for (let look = 0; look < 4; look += 1) await stream.next();
  expect(asked).toEqual(['GET /watch {"collections":"agents"}']);
});

it('ends with its signal', async () => {
  const { stream: make, ended } = streamOf(live());
  const stream = make();
  await stream.next();
  const next = stream.next();
  ended.abort();
  await expect(next).rejects.toThrow('aborted');
});

it('is opened by a command that watches a list, and the list is read once more behind the opening', async () => {
  const rest = await startRest();
  rest.agents.push(agentRecord({ id: 'a1', name: 'branch-1' }));
  const folder = await socketTo(rest.url);
  const ended = new AbortController();
  const [out, requests]: [string[], string[]] = [[], []];
  const running = runCli(['agents', 'list', '--watch', '--verbose', '-o', 'name'], {
    environment: { QUEUEGATE_DATA_FOLDER: folder, QUEUEGATE_TOKEN: rest.tokens.viewer },
    workingFolder: folder,
    out: (text) => out.push(text),
    error: (text) => requests.push(text),
    readStdin: async () => '',
    terminal: false,
    secrets: secretsFrom(''),
    canPrompt: false,
    signal: ended.signal,
  });
  const timeout = 10_000;
  const lists = (): number => requests.filter((line) => line.startsWith('GET /api/v1/agents')).length;
  // Nothing may be missed between the first look and the stream.
  await expect.poll(lists, { timeout }).toBe(2);
  expect(requests.filter((line) => line.includes('/watch?collections=agents: 200'))).toHaveLength(1);
  expect(out).toEqual(['branch-1']);
  ended.abort();
  expect(await running).toBe(130);
});

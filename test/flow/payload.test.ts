// A payload between real processes: bytes in at the agent's local API, the same bytes out at Central's REST, and back
// down; over wss, and over plain ws on a line that flips bits.
import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LineProxy, type Direction } from '../reliability/line-proxy.ts';
import { onlineAgent, type OnlineAgent } from '../reliability/traffic.ts';
import { CentralProcess, Cleanup, until } from './processes.ts';

const ODD = String.raw`{ "visitId":9007199254740993,"amount":1e400,"x":-0,"y":1.10,"z":"\u00e9\/","text":"Zürich 😀","a":1,"a":2,"half":"\ud800","__proto__":{"b":[ ]}}`;

const cleanup = new Cleanup();
let central: CentralProcess;
beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
});
afterAll(() => cleanup.run());

interface RawAnswer {
  readonly status: number;
  readonly text: string;
}

/** Bytes out, bytes in: nothing is read as JSON. */
function raw(
  url: string,
  token: string,
  method: string,
  body: Buffer | string = '',
  headers: Readonly<Record<string, string>> = {},
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body.length === 0 ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

const rest = (method: string, path: string, body?: Buffer | string, headers?: Readonly<Record<string, string>>) =>
  raw(`http://127.0.0.1:${central.ports.http}/api/v1${path}`, central.token, method, body, headers);

async function local(
  { agent }: OnlineAgent,
  method: string,
  path: string,
  body?: Buffer | string,
  headers?: Readonly<Record<string, string>>,
): Promise<RawAnswer> {
  const { url, token } = await until(async () => {
    const text = await readFile(join(agent.folders.data, 'local-api.json'), 'utf8').catch(() => undefined);
    return text === undefined ? undefined : (JSON.parse(text) as { url: string; token: string });
  });
  return await raw(`${url}${path}`, token, method, body, headers);
}

/** An event or command whose text has white space and an order of its own. */
const textOf = (id: string, data: string): string =>
  `{ "type":"t", "id" : "${id}","source":"/s","data":${data} ,"specversion":"1.0","time":"2026-11-22T10:00:00Z"}`;

/** What of an answer is between the text and the end of its list, until the text is there. */
async function answered(ask: () => Promise<RawAnswer>, text: string): Promise<string> {
  let last = '';
  return await until(
    async () => {
      last = (await ask()).text;
      return last.includes(text) ? last : undefined;
    },
    30_000,
    () => `${text}\nis not in\n${last.slice(0, 4_000)}`,
  );
}

describe('a payload', () => {
  it('comes out of Central and of the agent as the bytes that went in, in every form', async () => {
    const branch = await onlineAgent(cleanup, central, 'payload');
    const [one, two] = [textOf('e1', ODD), textOf('e2', ODD)];
    expect(await local(branch, 'POST', '/api/v1/events', ` ${one}\n`)).toMatchObject({ status: 202 });
    expect(await local(branch, 'POST', '/api/v1/events', `[${two} ,{"type":"t","data":${ODD}}]`)).toMatchObject({
      status: 202,
    });
    const events = await answered(() => rest('GET', `/events?agent=${branch.id}`), `,"data":${ODD}}}`);
    for (const text of [one, two]) expect(events).toContain(`"event":${text}}`);
    const { text: batch } = await rest('GET', `/events?agent=${branch.id}`, undefined, {
      accept: 'application/cloudevents-batch+json',
    });
    for (const text of [one, two]) expect(batch).toContain(`{"queuegateagent":"${branch.id}",${text.slice(1)}`);

    expect(
      await rest('POST', `/agents/${branch.id}/commands`, `[${textOf('c1', ODD)}\n, {"type":"t","data":${ODD}}]`),
    ).toMatchObject({ status: 202 });
    const commands = await answered(() => local(branch, 'GET', '/api/v1/commands?waitSeconds=5'), `,"data":${ODD}}}`);
    expect(commands).toContain(`"command":${textOf('c1', ODD)}}`);
  });

  it('that is not what it claims to be is refused at both producers, and so is the id of another message', async () => {
    const branch = await onlineAgent(cleanup, central, 'refused');
    const events = (body: Buffer | string, headers?: Readonly<Record<string, string>>) =>
      local(branch, 'POST', '/api/v1/events', body, headers);
    const commands = (body: Buffer | string, headers?: Readonly<Record<string, string>>) =>
      rest('POST', `/agents/${branch.id}/commands`, body, headers);
    for (const post of [events, commands]) {
      expect(await post(Buffer.from('{"type":"t","data":"Zürich"}', 'latin1'))).toMatchObject({
        status: 400,
        text: expect.stringContaining('byte 21'),
      });
      expect(await post('{"type":"t","expirytime":"2001-01-01T00:00:00Z"}')).toMatchObject({
        status: 400,
        text: expect.stringContaining('message_expired'),
      });
      expect(await post('{"type":"t","queuegateagent":"x"}')).toMatchObject({
        status: 400,
        text: expect.stringContaining('/queuegateagent'),
      });
      expect(await post(textOf('1', '{"n":1}'))).toMatchObject({
        status: 202,
        text: expect.stringContaining('stored'),
      });
      expect(await post(textOf('1', '{"n":1}'))).toMatchObject({
        status: 202,
        text: expect.stringContaining('duplicate'),
      });
      expect(await post(`[${textOf('2', '1')},${textOf('1', '{"n":2}')}]`)).toMatchObject({
        status: 409,
        text: expect.stringContaining('id_reused'),
      });
      expect(await post(textOf('2', '1'))).toMatchObject({ status: 202, text: expect.stringContaining('stored') });
    }
  });

  // Places in a WebSocket frame of some 2 KiB: the name of the first member, the type, the number, the payload, the
  // checksum.
  it.each<[Direction, number]>([
    ['up', 8],
    ['down', 4],
  ])(
    'that a plain line changes by one bit (%s) is sent again, and stored once and intact',
    async (direction, headerBytes) => {
      const line = await LineProxy.to(central.ports.ws, cleanup);
      const branch = await onlineAgent(cleanup, central, `flipped-${direction}`, [
        '--central-websocket-secure',
        'false',
        '--central-hosts',
        `127.0.0.1:${line.port}`,
      ]);
      const texts: string[] = [];
      for (const place of [headerBytes + 3, headerBytes + 12, headerBytes + 29, 1_000, -4]) {
        const text = textOf(`m${texts.length}`, `{"n":1234567890,"text":"${'x'.repeat(2_000)}"}`);
        texts.push(text);
        await central.online(branch.name);
        const opened = line.opened;
        const flipped = line.flipBit(direction, 2_000, place);
        expect(
          await (direction === 'up'
            ? local(branch, 'POST', '/api/v1/events', text)
            : rest('POST', `/agents/${branch.id}/commands`, text)),
        ).toMatchObject({ status: 202 });
        await flipped;
        await until(
          () => line.opened > opened || undefined,
          30_000,
          () => `no new connection after a bit was flipped at ${place}:\n${branch.agent.process.stdout.slice(-2_000)}`,
        );
        await answered(
          () =>
            direction === 'up' ? rest('GET', `/events?agent=${branch.id}`) : local(branch, 'GET', '/api/v1/commands'),
          text,
        );
      }
      const { text: all } =
        direction === 'up'
          ? await rest('GET', `/events?agent=${branch.id}`)
          : await local(branch, 'GET', '/api/v1/commands');
      for (const text of texts) expect(all.split(text)).toHaveLength(2);
      expect(all.split('"id" :')).toHaveLength(texts.length + 1);
      expect((await rest('GET', `/dead-letters?agent=${branch.id}`)).text).toBe('{"items":[],"next":null}');
      expect(direction === 'up' ? central.process.stdout : branch.agent.process.stdout).toContain('frame_checksum');
    },
    120_000,
  );
});

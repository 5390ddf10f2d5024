// What goes in at POST /api/v1/events of the local API: kept byte for byte, or refused with the place.
import { request } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import type { Message } from '../../../shared/delivery/message.ts';
import { endAll, openApi } from './parts.ts';

const ODD = String.raw`{ "visitId":9007199254740993,"amount":1e400,"x":-0,"y":1.10,"z":"\u00e9\/","a":1,"a":2,"half":"\ud800"}`;

afterEach(endAll);

async function start() {
  const posted: Message[] = [];
  const commands: { cursor: number; json: string }[] = [];
  const { port, token } = await openApi({
    ports: {
      append: async (messages) => {
        posted.push(...messages);
        return messages.map((_message, index) => ({ outcome: 'stored', number: index + 1 }) as const);
      },
      take: async () => commands,
      now: () => Date.parse('2026-11-22T10:00:00Z'),
    },
  });
  const call = (
    method: string,
    path: string,
    body: string | Buffer = '',
    type = 'application/json',
  ): Promise<{ status: number; text: string }> =>
    new Promise((resolve, reject) => {
      const sent = request(
        { host: '127.0.0.1', port, method, path, headers: { authorization: `Bearer ${token}`, 'content-type': type } },
        (answer) => {
          let text = '';
          answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
          answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  const post = (body: string | Buffer, type?: string) => call('POST', '/api/v1/events', body, type);
  return { posted, commands, call, post };
}

describe('an event at the local API', () => {
  it('is kept as the text that came, with what it left out in front', async () => {
    const { posted, post } = await start();
    const whole = `{"specversion":"1.0","id":"1","source":"/s", "time":"2026-11-22T09:00:00Z","type":"t","data":${ODD} }`;
    expect(await post(`\n${whole} `)).toMatchObject({ status: 202 });
    expect(
      await post(
        `[{"type":"t","id":"2","data":${ODD}},${whole}]`,
        'application/cloudevents-batch+json; charset="utf-8"',
      ),
    ).toMatchObject({ status: 202 });
    expect(posted.map(({ json }) => json)).toEqual([
      whole,
      `{"specversion":"1.0","source":"/agents/branch","time":"2026-11-22T10:00:00.000Z","type":"t","id":"2","data":${ODD}}`,
      whole,
    ]);
  });

  it('is refused with the byte where it is not UTF-8, and with 415 when it is declared to be something else', async () => {
    const { posted, post } = await start();
    for (const [body, found] of [
      [Buffer.from('{"type":"t","data":"Zürich"}', 'latin1'), 'at byte 21 it has 0xFC'],
      [Buffer.from([0x7b, 0xed, 0xa0, 0x80]), 'at byte 1 it has 0xED'],
      [Buffer.from([0x22, 0xc3]), 'at byte 1'],
      [Buffer.from('\ufeff{"type":"t"}'), 'a byte order mark'],
      [Buffer.from('{"type":"t"}', 'utf16le'), 'not JSON'],
    ] as const) {
      const answer = await post(body);
      expect(answer.status).toBe(400);
      expect(answer.text).toContain(found);
    }
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonx'])
      expect(await post('{"type":"t"}', type)).toMatchObject({
        status: 415,
        text: expect.stringContaining('local_content_type'),
      });
    expect(posted).toEqual([]);
  });

  it('is refused with the place when it breaks CloudEvents or has expired, and then nothing of the batch is taken', async () => {
    const { posted, post } = await start();
    for (const [event, found] of [
      ['{"type":"t","type":"t"}', '/type is given twice'],
      [String.raw`{"type":"t","subject":"\ud800"}`, '/subject holds'],
      ['{"type":"t","source":"/a b"}', '/source is'],
      ['{"type":"t","queuegateagent":"x"}', '/queuegateagent is set by Central alone'],
      ['{"type":"t","queuegatetask":"t-1"}', '/queuegatetask is set by the agent alone'],
      ['{"type":"t","queuegatetask":null}', '/queuegatetask is set by the agent alone'],
      ['{"type":"t","n":2147483648}', '/n is 2147483648'],
      [
        '{"type":"t","expirytime":"2026-11-22T09:59:59Z"}',
        'The message at \\"/1/expirytime\\" expired at 2026-11-22T09:59:59Z; it is 2026-11-22T10:00:00.000Z now.',
      ],
    ] as const) {
      const answer = await post(`[{"type":"t"},${event}]`);
      expect([answer.status, answer.text]).toEqual([400, expect.stringContaining(found)]);
    }
    expect(await post('{"type":"t","expirytime":"2026-11-22T09:59:59Z"}')).toMatchObject({
      status: 400,
      text: expect.stringContaining('urn:queuegate:error:message_expired'),
    });
    expect(posted).toEqual([]);
    expect(await post('{"type":"t","subject":null,"id":null}')).toMatchObject({ status: 202 });
  });
});

describe('the other bodies and answers of the local API', () => {
  it('give a command as the text that came', async () => {
    const { commands, call } = await start();
    const json = `{"specversion":"1.0","id":"1","source":"/s","type":"t", "data":${ODD}}`;
    commands.push({ cursor: 1, json });
    expect(await call('GET', '/api/v1/commands')).toEqual({
      status: 200,
      text: `{"items":[{"cursor":1,"command":${json}}],"next":null}`,
    });
  });

  it('refuse an acknowledgement with a repeated or an unknown member', async () => {
    const { call } = await start();
    expect(await call('POST', '/api/v1/commands/ack', '{"through":1,"through":2}')).toMatchObject({
      status: 400,
      text: expect.stringContaining('/through is given twice'),
    });
    expect(await call('POST', '/api/v1/commands/ack', '{"through":1,"until":2}')).toMatchObject({
      status: 400,
      text: expect.stringContaining('until'),
    });
    expect(await call('POST', '/api/v1/commands/ack', '{"through":"1"}')).toMatchObject({ status: 400 });
    expect(await call('POST', '/api/v1/commands/ack', '{"through":1}')).toMatchObject({ status: 200 });
  });
});

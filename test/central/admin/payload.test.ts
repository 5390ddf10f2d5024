// What goes in at POST /agents/{agent}/commands: kept byte for byte, or refused with the place.
import { describe, expect, test } from 'vitest';
import { messageFault } from '../../../shared/delivery/errors.ts';
import { agentRecord } from '../fakes.ts';
import { startRest, type Rest } from './rest.ts';

const ODD = String.raw`{ "visitId":9007199254740993,"amount":1e400,"x":-0,"y":1.10,"z":"\u00e9\/","__proto__":1,"a":1,"a":2,"half":"\ud800"}`;

async function started(): Promise<Rest> {
  const rest = await startRest();
  rest.agents.push(agentRecord({ name: 'a' }));
  return rest;
}

async function post(
  rest: Rest,
  body: string | Buffer,
  type = 'application/json',
  headers: Record<string, string> = {},
) {
  const response = await fetch(`${rest.url}/api/v1/agents/a/commands`, {
    method: 'POST',
    headers: { authorization: `Bearer ${rest.tokens.operator}`, 'content-type': type, ...headers },
    body,
  });
  return {
    status: response.status,
    body: (await response.json()) as Record<string, unknown> & { errors?: { pointer: string }[] },
  };
}

describe('a command', () => {
  test('is kept as the text that came, alone and in a batch', async () => {
    const rest = await started();
    const text = `{ "specversion":"1.0", "time":"2026-11-22T10:00:00Z","id":"1","type":"t","source":"/s" ,"data":${ODD}\t}`;
    expect(await post(rest, ` ${text}\n`)).toMatchObject({ status: 202 });
    expect(
      await post(
        rest,
        `[${text} , ${text.replace('"1"', '"2"')}]`,
        'application/cloudevents-batch+json; charset=UTF-8',
      ),
    ).toMatchObject({ status: 202 });
    expect(rest.sent.flatMap(({ messages }) => messages.map(({ json }) => json))).toEqual([
      text,
      text,
      text.replace('"1"', '"2"'),
    ]);
    expect(await post(rest, `{"type":"t","data":${ODD}}`)).toMatchObject({ status: 202 });
    expect(rest.sent.at(-1)?.messages[0]?.json).toContain(`,"type":"t","data":${ODD}}`);
  });

  test('that is not UTF-8 is refused with the byte, whatever charset it declares', async () => {
    const rest = await started();
    expect(await post(rest, Buffer.from('{"type":"t","data":"Zürich"}', 'latin1'))).toMatchObject({
      status: 400,
      body: { type: 'urn:queuegate:error:body_not_utf8', detail: expect.stringContaining('at byte 21') },
    });
    expect(await post(rest, Buffer.from('\ufeff{"type":"t"}'))).toMatchObject({
      status: 400,
      body: { type: 'urn:queuegate:error:body_not_utf8', detail: expect.stringContaining('byte order mark') },
    });
    for (const charset of ['iso-8859-1', '"utf-16"', 'UTF-8; charset=latin1']) {
      const type = `application/json; charset=${charset}`;
      expect(await post(rest, Buffer.from('{"type":"t","data":"Zürich"}', 'latin1'), type)).toMatchObject({
        status: 400,
      });
      expect(await post(rest, '{"type":"t"}', type)).toMatchObject({ status: 202 });
    }
    expect(await post(rest, '{"type":"t"}', 'text/plain')).toMatchObject({ status: 415 });
    expect(await post(rest, '{"a":1}', 'application/json', { 'ce-specversion': '1.0', 'ce-type': 't' })).toMatchObject({
      status: 415,
    });
    expect(rest.sent).toHaveLength(3);
  });

  test('that is not JSON, or breaks CloudEvents, is refused with the place', async () => {
    const rest = await started();
    expect(await post(rest, '{"type":"t",}')).toMatchObject({
      status: 400,
      body: { type: 'urn:queuegate:error:json_unparseable', detail: expect.stringContaining('at byte 12') },
    });
    expect(await post(rest, '')).toMatchObject({ status: 400 });
    const batch = [
      '{"type":"t"}',
      '{"type":"t","type":"u"}',
      '{"type":"t","source":"/a b"}',
      '{"type":"t","queuegateagent":"a"}',
      '{"type":"t","n":1.5}',
      '{"type":"t","data_base64":"!!!"}',
    ];
    const answer = await post(rest, `[${batch.join(',')}]`);
    expect(answer).toMatchObject({ status: 400, body: { type: 'urn:queuegate:error:request_invalid' } });
    expect(answer.body.errors?.map(({ pointer }) => pointer)).toEqual([
      '#/1/type',
      '#/2/source',
      '#/3/queuegateagent',
      '#/4/n',
      '#/5/data_base64',
    ]);
    expect(rest.sent).toEqual([]);
  });

  test('that has expired is refused with the time and the place', async () => {
    const rest = await started();
    expect(await post(rest, '[{"type":"t"},{"type":"t","expirytime":"2020-01-01T00:00:00Z"}]')).toMatchObject({
      status: 400,
      body: {
        type: 'urn:queuegate:error:message_expired',
        detail: expect.stringContaining('2020-01-01T00:00:00Z'),
        errors: [{ pointer: '#/1/expirytime' }],
      },
    });
    expect(await post(rest, '{"type":"t","expirytime":"2999-01-01T00:00:00Z"}')).toMatchObject({ status: 202 });
    expect(rest.sent).toHaveLength(1);
  });

  test('with the id of another message is refused with 409 and its place', async () => {
    const rest = await started();
    rest.fail.sending = messageFault('id_reused', { id: '{id}', source: '/s', indexes: '1' });
    expect(await post(rest, '[{"type":"t"},{"type":"t","id":"{id}"}]')).toMatchObject({
      status: 409,
      body: {
        type: 'urn:queuegate:error:id_reused',
        errors: [{ pointer: '#/1/id', detail: expect.stringContaining('{id}') }],
      },
    });
  });
});

describe('any other body', () => {
  test('is refused when it is not UTF-8, or gives a name twice', async () => {
    const rest = await started();
    const send = async (body: Buffer | string) => {
      const response = await fetch(`${rest.url}/api/v1/api-tokens`, {
        method: 'POST',
        headers: { authorization: `Bearer ${rest.tokens.administrator}`, 'content-type': 'application/json' },
        body,
      });
      return { status: response.status, body: await response.json() };
    };
    expect(await send('{"name":"a","role":"viewer","role":"administrator"}')).toMatchObject({
      status: 400,
      body: { type: 'urn:queuegate:error:request_invalid', errors: [{ pointer: '#/role' }] },
    });
    expect(await send(Buffer.from('{"name":"ü","role":"viewer"}', 'latin1'))).toMatchObject({
      status: 400,
      body: { type: 'urn:queuegate:error:body_not_utf8' },
    });
    expect(await send('{"name":"ü","role":"viewer"}')).toMatchObject({ status: 201 });
  });
});

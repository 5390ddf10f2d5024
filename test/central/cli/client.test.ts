// What the client does when a connection breaks before the answer.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createClient } from '../../../central/cli/client.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

/** A Central whose answers are these, one after the other; undefined: the connection is cut. */
async function central(answers: readonly ({ readonly status: number; readonly json: object } | undefined)[]) {
  const socket = join(temporaryFolder(), 'central.sock');
  const keys: unknown[] = [];
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const answer = answers[keys.length];
    keys.push(request.headers['idempotency-key']);
    if (answer === undefined) return void request.socket.destroy();
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.json));
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  onTestFinished(() => void server.close());
  const client = createClient({
    connection: async () => ({ target: { socket: async () => socket, named: socket }, ca: undefined }),
    token: async () => 'qg_token',
    signal: new AbortController().signal,
    resendMs: 1,
  });
  return { client, keys };
}

const PROBLEM = { type: 'urn:queuegate:error:idempotency_key_in_progress', code: 'idempotency_key_in_progress' };

test('what creates is sent again with the same key, also while the first one is in progress', async () => {
  const { client, keys } = await central([
    undefined,
    { status: 409, json: PROBLEM },
    { status: 202, json: { id: 'r-1' } },
  ]);
  expect(await client.request('POST', '/rollouts', { isCreating: true, body: {} })).toEqual({ id: 'r-1' });
  expect(keys).toEqual([expect.stringMatching(/^[\da-f-]{36}$/), keys[0], keys[0]]);
});

test('any other request is sent once', async () => {
  const { client, keys } = await central([undefined, { status: 200, json: {} }]);
  await expect(client.request('POST', '/api-tokens', { body: {} })).rejects.toMatchObject({
    code: 'administration_unreachable',
  });
  expect(keys).toEqual([undefined]);
});

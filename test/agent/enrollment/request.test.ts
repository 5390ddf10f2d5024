// What an enrolling agent makes of an address that somebody else floods from.
import { createServer, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { postEnrollment } from '../../../agent/enrollment/request.ts';

const REQUEST = { csr: 'x'.repeat(64), name: 'branch-1' };
const PENDING = { state: 'pending', keyThumbprint: 'a'.repeat(64), retryAfterSeconds: 2 };

async function central(answers: readonly ((response: ServerResponse) => void)[]) {
  const waited: number[] = [];
  let asked = 0;
  const server = createServer((request, response) => {
    request.resume();
    (answers[asked] ?? answers.at(-1))?.(response);
    asked += 1;
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const target = { secure: false, host: '127.0.0.1', port: (server.address() as AddressInfo).port };
  return {
    waited,
    asked: () => asked,
    post: () => postEnrollment(target, REQUEST, undefined, async (ms) => void waited.push(ms)),
  };
}

const refuse = (status: number, code: string, retryAfter: string) => (response: ServerResponse) =>
  void response
    .writeHead(status, { 'retry-after': retryAfter })
    .end(JSON.stringify({ type: `urn:queuegate:error:${code}`, detail: code, hint: 'wait' }));

test('an enrollment or a recovery is tried again when only the address was too busy, as late as Central says', async () => {
  const found = await central([
    refuse(429, 'too_many_requests', '3'),
    refuse(503, 'responses_unread', '9999'),
    (response) => void response.writeHead(202).end(JSON.stringify(PENDING)),
  ]);
  expect(await found.post()).toEqual(PENDING);
  expect(found.waited.map((ms) => Math.floor(ms / 1000))).toEqual([3, 20]);
});

test('a refusal of the request itself is final, and so is a dozen of the others', async () => {
  for (const [code, tries] of [
    ['too_many_attempts', 1],
    ['enrollment_refused', 1],
    ['too_many_requests', 12],
  ] as const) {
    const found = await central([refuse(429, code, 'soon')]);
    await expect(found.post()).rejects.toMatchObject({ code: 'enrollment_refused_by_central' });
    expect([code, found.asked()]).toEqual([code, tries]);
  }
});

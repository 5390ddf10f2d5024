import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { until } from '../../../flow/processes.ts';
import { startRest, type Rest } from '../../admin/rest.ts';

const PASSWORD = 'correct horse battery staple';

/** A backup is not JSON: a request of its own. */
async function restore(
  rest: Rest,
  headers: Record<string, string>,
  body: string | ReadableStream = 'a backup',
): Promise<Response> {
  return await fetch(`${rest.url}/api/v1/store/restore`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${rest.tokens.administrator}`,
      'content-type': 'application/octet-stream',
      ...headers,
    },
    body,
    duplex: 'half',
  });
}

const password = (text: string): Record<string, string> => ({
  'queuegate-password': Buffer.from(text).toString('base64url'),
});

describe('POST /backup', () => {
  it('streams what is sealed, for an administrator, never to be kept on the way', async () => {
    const rest = await startRest();
    const answer = await rest.request('POST', '/store/backup', { body: { password: PASSWORD } });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/octet-stream');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('content-disposition')).toBe(
      'attachment; filename="central-2026-11-22T10-00-00.qgbackup"',
    );
    expect(await answer.text()).toBe(`administrator ${PASSWORD}`);
    expect(rest.backups.ended).toBe(1);
    expect((await rest.request('POST', '/store/backup', { as: 'operator', body: { password: PASSWORD } })).status).toBe(
      403,
    );
    expect((await rest.request('POST', '/store/backup', { body: {} })).status).toBe(400);
  });

  it('is given up when the client leaves', async () => {
    const rest = await startRest();
    const gone = new AbortController();
    const answer = await rest.request('POST', '/store/backup', {
      body: { password: 'x'.repeat(1024) },
      signal: gone.signal,
    });
    expect(answer.status).toBe(200);
    gone.abort();
    await until(() => rest.backups.ended === 1 || undefined);
  });
});

describe('POST /restore', () => {
  it('takes a backup of any size as it comes, and is carried out once the answer is out', async () => {
    const rest = await startRest();
    // More than any other body may have.
    const pieces = Array.from({ length: 40 }, () => 'x'.repeat(256 * 1024));
    const answer = await restore(
      rest,
      password('Grüße an alle'),
      Readable.toWeb(Readable.from(pieces)) as ReadableStream,
    );
    expect([answer.status, await answer.json()]).toEqual([
      202,
      { backup: { createdAt: '2026-11-22T10:00:00.000Z', central: 'central.test', version: '0.1.0', bytes: 1 } },
    ]);
    expect(rest.backups.staged).toEqual([
      { password: 'Grüße an alle', content: pieces.join(''), who: 'administrator' },
    ]);
    await until(() => rest.backups.applied.length === 1 || undefined);
  });

  it('refuses another type, a missing password, and a token of another role; then nothing is carried out', async () => {
    const rest = await startRest();
    expect((await restore(rest, { ...password(PASSWORD), 'content-type': 'text/plain' })).status).toBe(400);
    expect((await restore(rest, { ...password(PASSWORD), 'content-type': 'application/x-tar' })).status).toBe(415);
    expect(await (await restore(rest, {})).json()).toMatchObject({
      status: 400,
      errors: [{ header: 'Queuegate-Password' }],
    });
    expect(
      (await restore(rest, { ...password(PASSWORD), authorization: `Bearer ${rest.tokens.operator}` })).status,
    ).toBe(403);
    expect(
      (
        await rest.request('POST', '/store/backup', {
          body: 'x',
          headers: { 'content-type': 'application/octet-stream' },
        })
      ).status,
    ).toBe(415);
    expect(rest.backups.staged).toEqual([]);
    expect(rest.backups.applied).toEqual([]);
  });
});

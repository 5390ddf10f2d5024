// The commands against a daemon of another version: what they do not use may be missing, and more may be there.
import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { askDaemon, listConsumers } from '../../../agent/local-api/client.ts';
import { LOCAL_API_FILE } from '../../../agent/local-api/file.ts';
import { atEnd, endAll } from './parts.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

afterEach(endAll);

const DEPTH = { messageCount: 1, bytes: 2, oldestAt: null };
const STATUS = {
  name: 'branch',
  version: '9.0.0',
  connection: {
    state: 'waiting',
    stateChangedAt: '2026-11-22T10:00:00.000Z',
    stateReason: { code: 'c', detail: 'd', hint: 'h' },
    central: null,
    connectedAt: null,
  },
  outbox: DEPTH,
  inbox: DEPTH,
  problems: [],
};

/** The data folder of a daemon that answers everything with `body`. */
async function daemonWith(body: unknown): Promise<string> {
  const folder = temporaryFolder();
  const socket = join(folder, 'local-api.sock');
  const server = createServer((_request, response) => response.end(JSON.stringify(body))).listen(socket);
  await once(server, 'listening');
  atEnd(() => server.close());
  await chmod(socket, 0o600);
  await writeFile(join(folder, LOCAL_API_FILE), JSON.stringify({ socket, url: null, token: 'x' }));
  return folder;
}

describe('an answer of the daemon', () => {
  it('may have members that the command does not know, on every level, and lack those that it does not use', async () => {
    const stateReason = { ...STATUS.connection.stateReason, more: 1 };
    const connection = { ...STATUS.connection, stateReason, more: 1 };
    const status = { ...STATUS, connection, outbox: { ...DEPTH, more: 1 }, more: 1 };
    expect(await askDaemon(await daemonWith(status))).toMatchObject({ kind: 'status', status: { name: 'branch' } });
    expect(await listConsumers(await daemonWith({ items: [], more: 1 }))).toMatchObject({ kind: 'done' });
  });

  it.each([
    ['without a used member', { ...STATUS, outbox: undefined }],
    ['with a value of another type', { ...STATUS, inbox: { ...DEPTH, bytes: '2' } }],
    ['with an unknown state', { ...STATUS, connection: { ...STATUS.connection, state: 'asleep' } }],
  ])('%s is not the answer of a daemon', async (_what, status) => {
    expect(await askDaemon(await daemonWith(status))).toMatchObject({ kind: 'silent' });
  });
});

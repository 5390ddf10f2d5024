// Uploads of a profile and of a release of the software that end in the middle, since Central is killed or the client
// leaves, and that go on slowly: nothing half done is there afterwards, and the same upload succeeds.
import { randomBytes } from 'node:crypto';
import { request, type ClientRequest } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, expect, it } from 'vitest';
import { packDirectory } from '../../central/cli/commands/profiles/archive.ts';
import { measureFolder } from '../../shared/releases/folder.ts';
import { archiveOf, programFiles } from '../central/software/samples.ts';
import { CentralProcess, Cleanup, ROOT, until } from './processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const FIELD = `${ROOT}/test/fixtures/profile`;

/** Sends nine tenths of a body; the request is open then. */
async function begun(central: CentralProcess, path: string, type: string, body: Buffer): Promise<ClientRequest> {
  return await new Promise((resolve) => {
    const headers = { authorization: `Bearer ${central.token}`, 'content-type': type, 'content-length': body.length };
    const upload = request({ port: central.ports.http, path: `/api/v1${path}`, method: 'POST', headers, agent: false });
    upload.on('error', () => undefined).on('response', (response) => response.resume().on('error', () => undefined));
    upload.write(body.subarray(0, Math.floor(body.length * 0.9)), () => resolve(upload));
  });
}

/** A profile and a release of the software, with their routes. */
async function uploads() {
  const pieces: Buffer[] = [];
  for await (const piece of packDirectory(FIELD, await measureFolder(FIELD))) pieces.push(piece);
  const { archive } = archiveOf('queue-agent-program-0.2.0', programFiles(randomBytes(1024 * 1024).toString('hex')));
  return [
    { path: '/profiles?name=branch', list: '/profiles', type: 'application/x-tar', body: Buffer.concat(pieces) },
    { path: '/software-releases', list: '/software-releases', type: 'application/octet-stream', body: archive },
  ];
}

/** What the store has of contents; read beside Central. */
function blobs(folder: string): number {
  const database = new DatabaseSync(join(folder, 'central.db'), { readOnly: true });
  const count = Number(database.prepare('SELECT count(*) AS count FROM blob').get()?.['count']);
  database.close();
  return count;
}

async function whole(central: CentralProcess, path: string, type: string, body: Buffer) {
  const response = await fetch(`http://127.0.0.1:${central.ports.http}/api/v1${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${central.token}`, 'content-type': type },
    body: new Uint8Array(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

it('leaves the profile and the software as they were, wherever the upload was cut, and takes the same upload then', async () => {
  const folder = await cleanup.folder();
  let central = await CentralProcess.start(cleanup, folder);
  for (const { path, list, type, body } of await uploads()) {
    await begun(central, path, type, body);
    // What it has not read is lost with it.
    await central.process.stop('SIGKILL');
    central = await CentralProcess.start(cleanup, folder);
    expect((await central.rest('GET', list)).body.items).toEqual([]);
    const taken = await whole(central, path, type, body);
    expect(taken.status, JSON.stringify(taken.body)).toBe(201);
    expect((await central.rest('GET', list)).body.items).toHaveLength(1);
  }
});

it('keeps nothing of an upload whose client leaves, and lets others upload beside one that does not go on', async () => {
  const folder = await cleanup.folder();
  const central = await CentralProcess.start(cleanup, folder);
  for (const { path, list, type, body } of await uploads()) {
    const before = blobs(folder);
    const left = await begun(central, path, type, body);
    await until(() => blobs(folder) > before || undefined);
    left.destroy();
    await until(() => blobs(folder) === before || undefined);
    expect((await central.rest('GET', list)).body.items).toEqual([]);
    const slow = await begun(central, path, type, body);
    const taken = await whole(central, path, type, body);
    expect(taken.status, JSON.stringify(taken.body)).toBe(201);
    const whileSlow = blobs(folder);
    slow.destroy();
    await until(() => blobs(folder) <= whileSlow || undefined);
    expect((await central.rest('GET', list)).body.items).toHaveLength(1);
  }
});

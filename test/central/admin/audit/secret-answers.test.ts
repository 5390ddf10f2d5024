// Every answer of REST that holds a secret, against a running Central: the audit entry is there before the answer, and
// without the entry there is no secret.
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeRequest } from '../../../../agent/enrollment/csr.ts';
import type { RunningCentral } from '../../../../central/composition/lifecycle.ts';
import { Cleanup } from '../../../flow/processes.ts';
import { newKey } from '../../../flow/raw-agent.ts';
import { sendTo, startInProcess } from '../../in-process.ts';

const cleanup = new Cleanup();
let folder: string;
let central: RunningCentral;

beforeAll(async () => {
  folder = await cleanup.folder();
  central = await startInProcess(folder, '--central-name', 'central.test');
  const key = newKey();
  const { pem } = await makeRequest(
    { privateKey: key.privateKey, pem: '', publicKey: key.spki, thumbprint: key.thumbprint },
    'branch-1',
  );
  await send('/agents', { csr: pem, name: 'branch-1' });
});
afterAll(async () => {
  await central.stop();
  await cleanup.run();
});

async function send(path: string, body: unknown): Promise<Response> {
  return await sendTo(central, { method: 'POST', path: `/api/v1${path}`, body });
}

/** Route, body, action, and what only an answer with the secret has. */
const SECRETS = [
  ['/api-tokens', { name: 'x', role: 'viewer' }, 'api-tokens.create', 'qg_'],
  ['/enrollment-tokens', {}, 'enrollment-tokens.create', 'qge_'],
  ['/agents/branch-1/recovery-code', {}, 'agents.recovery-code.create', '"code":"'],
  ['/ca/export', { password: 'a long password' }, 'ca.export', '"content":"'],
  ['/store/backup', { password: 'a long password' }, 'store.backup', 'qgbackup'],
] as const;

test.each(SECRETS)(
  'POST %s hands its secret out with an audit entry, and not without one',
  async (path, body, action, mark) => {
    const database = new DatabaseSync(join(folder, 'central.db'));
    database.exec("CREATE TRIGGER no_entry BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no entry'); END");
    const refused = await send(path, body);
    const text = await refused.text();
    database.exec('DROP TRIGGER no_entry');
    expect(refused.status).toBe(500);
    expect(text.toLowerCase()).not.toMatch(new RegExp(`"token":|"content":|"code":"(?!store_defect)|^qgbackup`));

    const made = await send(path, body);
    expect(made.ok).toBe(true);
    expect((await made.text()).toLowerCase()).toContain(mark);
    expect(database.prepare('SELECT action, who FROM audit ORDER BY number DESC LIMIT 1').get()).toMatchObject({
      action,
      who: 'first administrator',
    });
    database.close();
  },
);

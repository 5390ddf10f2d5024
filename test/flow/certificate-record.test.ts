// agents.authentication with an agent that enrolled before Central kept a record of certificates: it comes by its key
// once, if that is allowed, and is validated by its certificate from then on.
import { DatabaseSync } from 'node:sqlite';
import { afterAll, describe, expect, it } from 'vitest';
import { databasePath } from '../../central/store/sqlite/threads/thread-data.ts';
import { AgentProcess, CentralProcess, Cleanup, until } from './processes.ts';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

describe('an agent of which Central knows no certificate', () => {
  it('is refused while only certificates are let in, and dials on; comes by its key where that is allowed, and has a certificate at once', async () => {
    const folder = await cleanup.folder();
    const first = await CentralProcess.startOnParameters(cleanup, folder);
    const agent = await AgentProcess.enrolled(cleanup, first, 'old');
    const before = await first.online('old');
    expect(
      (await first.change({ 'agents.authentication': 'certificate', 'agents.drain.spreadSeconds': 0 })).status,
    ).toBe(200);
    await first.stop();
    const database = new DatabaseSync(databasePath(folder));
    database.exec('UPDATE agent SET certificate = NULL; DELETE FROM agent_certificate');
    database.close();

    const central = await CentralProcess.startOnParameters(cleanup, folder);
    const reason = await until(async () => {
      const { connection } = (await agent.local('GET', '/api/v1/status')).body;
      return connection.state === 'waiting' && String(connection.stateReason?.detail).includes('authentication_kind')
        ? connection.stateReason
        : undefined;
    }, 60_000);
    expect(reason.hint).toContain('agents.authentication=certificate-or-key');

    await central.change({ 'agents.authentication': 'certificate-or-key' });
    const after = await until(async () => {
      const shown = await central.agent('old');
      return shown?.['certificate'] === null || shown?.['keyThumbprint'] === before['keyThumbprint']
        ? undefined
        : shown;
    }, 60_000);
    expect(after).toMatchObject({
      id: before['id'],
      state: 'online',
      certificate: { revocation: null },
      renewal: null,
    });
    // No agent is left that connects with its key alone.
    expect(await central.change({ 'agents.authentication': 'certificate' })).toMatchObject({ status: 200 });
  }, 150_000);
});

// Two Centrals on one PostgreSQL, as processes: what is done at one ends sessions at the other. Nodes tell each other by
// their beats, which come twice a second; nothing uses NOTIFY.
import { randomBytes } from 'node:crypto';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CLONE_TURNS } from '../../central/store/agents/boot-history.ts';
import { lacksPostgres } from '../postgres/binaries.ts';
import { freshDatabase, type TestDatabase } from '../postgres/cluster.ts';
import { agentFolders, CentralProcess, Cleanup, ownAddress, runRecover, until } from './processes.ts';
import { enrollKey, newKey, RawAgent, type RawKey } from './raw-agent.ts';

/** From the commit of the act to the last word to the agent. */
const WITHIN_MS = 1_000;
/** Of a test, whatever else the machine does. */
const SLOW_MACHINE_MS = 1_000;

const cleanup = new Cleanup();
const lasting = new Cleanup();
const sealing = randomBytes(32).toString('base64');

describe.skipIf(lacksPostgres())('an act at one node ends the session at another within a second:', () => {
  let database: TestDatabase;
  let a: CentralProcess;
  let b: CentralProcess;
  beforeAll(async () => {
    database = await freshDatabase();
    a = await start('node-a');
    b = await start('node-b', a);
  }, 60_000);
  afterEach(() => cleanup.run());
  afterAll(async () => {
    await lasting.run();
    await database.drop();
  });

  async function start(name: string, first?: CentralProcess): Promise<CentralProcess> {
    const folder = await lasting.folder();
    if (first !== undefined)
      await copyFile(join(first.folder, 'administrator-token'), join(folder, 'administrator-token'));
    return await CentralProcess.start(lasting, folder, ['--central-name', 'bank', '--node-name', name], {
      QUEUEGATE_STORE_URL: database.url,
      QUEUEGATE_KEY_ENCRYPTION_KEY: sealing,
    });
  }

  interface Connected {
    readonly id: string;
    readonly key: RawKey;
    readonly agent: RawAgent;
  }

  async function atB(name: string): Promise<Connected> {
    const key = newKey();
    const id = await enrollKey(b, key, name);
    const agent = await RawAgent.wss(cleanup, b);
    await agent.welcomed({ id, key, name });
    return { id, key, agent };
  }

  /** The agent hears why its session ends, and so soon after `since`. */
  async function endedWith(agent: RawAgent, code: string, since: () => number | Promise<number>): Promise<void> {
    expect((await agent.frame('refuse'))['code']).toBe(code);
    const at = Date.now();
    expect(at - (await since())).toBeLessThan(WITHIN_MS + SLOW_MACHINE_MS);
  }

  it.each([
    ['revoked', 'POST', '/revoke', { reason: 'keyCompromise' }, 'agent_revoked'],
    ['disabled', 'POST', '/disable', {}, 'agent_disabled'],
    ['deleted', 'DELETE', '', undefined, 'agent_deleted'],
  ] as const)('%s', async (name, method, path, body, code) => {
    const { id, agent } = await atB(name);
    const since = Date.now();
    expect((await a.rest(method, `/agents/${id}${path}`, body)).status).toBeLessThan(300);
    await endedWith(agent, code, () => since);
  });

  it('recovered with a code, on another machine', async () => {
    const { agent } = await atB('recovered');
    const code = await a.recoveryCode('recovered');
    const folders = await agentFolders(cleanup);
    const recovering = runRecover(folders, 'recovered', code, '--central-host', `localhost:${a.ports.wss}`);
    await endedWith(agent, 'identity_replaced', async () => {
      const { body } = await a.rest('GET', '/audit?limit=1000');
      const entries = body.items as { action: string; createdAt: string }[];
      return Date.parse(entries.find(({ action }) => action === 'agents.recover')?.createdAt ?? '');
    });
    expect(await recovering).toMatchObject({ code: 0 });
  });

  it('unencrypted, and unencrypted connections are switched off', async () => {
    expect((await a.change({ 'websocket.enabled': true })).status).toBe(200);
    const [key, name] = [newKey(), 'unencrypted'];
    const id = await enrollKey(a, key, name);
    // Refused until the other node has it.
    const agent = await until(() =>
      RawAgent.dial(cleanup, `ws://${ownAddress()}:${b.ports.ws}`).catch(() => undefined),
    );
    await agent.welcomed({ id, key, name });
    const since = Date.now();
    expect((await a.change({ 'websocket.enabled': false }, { force: true })).status).toBe(200);
    await endedWith(agent, 'ws_disabled', () => since);
  });

  it('quarantined, since another machine has its key', async () => {
    const [key, name] = [newKey(), 'copied'];
    const id = await enrollKey(b, key, name);
    const boots = ['one', 'two'].map((one) => one.padEnd(32, '0'));
    const login = async (node: CentralProcess, boot = 0): Promise<RawAgent> => {
      const agent = await RawAgent.wss(cleanup, node);
      agent.send(agent.hello({ id, key, name, ...(boots[boot] === undefined ? {} : { bootId: boots[boot] }) }));
      return agent;
    };
    // Both have been there once; then each comes back in turn, one at each node.
    let last: RawAgent | undefined;
    for (let n = 0; n < 2 + CLONE_TURNS; n += 1) {
      last = await login(n % 2 === 0 ? b : a, n % 2);
      await last.frame('welcome');
    }
    const since = Date.now();
    expect((await (await login(a, 1)).frame('refuse'))['code']).toBe('quarantined');
    await endedWith(last as RawAgent, 'quarantined', () => since);
  });
});

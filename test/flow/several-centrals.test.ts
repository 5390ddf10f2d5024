// Real Centrals on one PostgreSQL: the lead moves, a node that slept writes nothing, agents find the other node, first
// starts make one authority, and a rollout reaches agents at each node.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { lacksPostgres } from '../postgres/binaries.ts';
import { freshDatabase, type TestDatabase } from '../postgres/cluster.ts';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  anyPorts,
  CENTRAL_PROGRAM,
  CentralProcess,
  Cleanup,
  run,
  Running,
  runNode,
  until,
} from './processes.ts';

const KEY = randomBytes(32).toString('base64');
/** The work of the leader goes on. */
const LEAD_MS = 10_000;

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

function environment(database: TestDatabase, name: string): Record<string, string> {
  return {
    QUEUEGATE_STORE_URL: database.url,
    QUEUEGATE_CENTRAL_NAME: 'centrals',
    QUEUEGATE_NODE_NAME: name,
    QUEUEGATE_KEY_ENCRYPTION_KEY: KEY,
  };
}

async function emptyDatabase(): Promise<TestDatabase> {
  const database = await freshDatabase();
  cleanup.add(() => database.drop());
  return database;
}

async function startNode(database: TestDatabase, name: string, token?: string): Promise<CentralProcess> {
  const folder = await cleanup.folder();
  if (token !== undefined) await writeFile(join(folder, 'administrator-token'), `${token}\n`, { mode: 0o600 });
  return await CentralProcess.start(cleanup, folder, [], environment(database, name));
}

/** Rows, by who may see all. */
async function rows(database: TestDatabase, text: string): Promise<Record<string, unknown>[]> {
  return await database.cluster.primary.sql(text, [], database.name);
}

/** The chain that the administration of a node shows. */
async function shownBy(stdout: string): Promise<string[] | null> {
  const port = /HTTPS administration listens .*, port (\d+)/.exec(stdout)?.[1];
  const { stdout: shown } = await run('openssl', ['s_client', '-connect', `localhost:${port}`, '-showcerts']);
  return shown.match(/-----BEGIN[^]*?-----END CERTIFICATE-----/g);
}

describe.skipIf(lacksPostgres())('two Centrals', () => {
  it('roll a release out to an agent whose session is not at the node that leads', async () => {
    const database = await emptyDatabase();
    const a = await startNode(database, 'node-a');
    const b = await startNode(database, 'node-b', a.token);
    const folders = await agentFolders(cleanup);
    const conf = `central.host=localhost\ncentral.websocket.secure.port=${b.ports.wss}\n`;
    await writeFile(join(folders.profile, 'conf/agent.conf'), conf);
    const enrolled = await runNode('agent/cli.ts', [...(await b.enrollment()), ...agentFlags(folders, 'rolled')]);
    expect(enrolled).toMatchObject({ code: 0 });
    AgentProcess.start(cleanup, folders, 'rolled');
    await b.online('rolled');
    const say = async (...words: string[]): Promise<string> => {
      const { code, stdout, stderr } = await a.cli(...words);
      expect(code, `${words.join(' ')}\n${stdout}${stderr}`).toBe(0);
      return stdout;
    };
    await say('profiles', 'import', folders.profile, '--name', 'branch');
    await say('profiles', 'truststore', 'import', 'branch', '--central');
    await say('profiles', 'set', 'branch', 'log.level=debug');
    const release = /branch@[0-9a-f]+/.exec(await say('profiles', 'prepare', 'branch'))?.[0] ?? '';
    await say('profiles', 'upgrade', release, '--agents', 'rolled');
    const ended = await until(async () => {
      const { body } = await b.rest('GET', '/rollouts/r-1/agents?state=succeeded');
      return body.items.length > 0 ? body.items : undefined;
    }, 30_000);
    expect(ended).toHaveLength(1);

    // What its node has in memory, at the other one.
    const measuredAt = async (): Promise<string | undefined> =>
      (await a.rest('GET', '/agents/rolled/profile')).body.drift?.reportedAt;
    for (let before: string | undefined, n = 0; n < 2; n += 1) {
      expect((await a.rest('POST', '/agents/rolled/profile/measure', {})).status).toBe(202);
      before = await until(async () => {
        const found = await measuredAt();
        return found === before ? undefined : found;
      }, 30_000);
    }
  });

  it('take acts on rollouts at any of them, also behind a change of the lead', async () => {
    const database = await emptyDatabase();
    const a = await startNode(database, 'node-a');
    const b = await startNode(database, 'node-b', a.token);
    // It never comes: what a rollout does without it is all the same.
    const folders = await agentFolders(cleanup);
    const enrolled = await runNode('agent/cli.ts', [...(await b.enrollment()), ...agentFlags(folders, 'absent')]);
    expect(enrolled).toMatchObject({ code: 0 });
    const say = async (...words: string[]): Promise<string> => {
      const { code, stdout, stderr } = await b.cli(...words);
      expect(code, `${words.join(' ')}\n${stdout}${stderr}`).toBe(0);
      return stdout;
    };
    await say('profiles', 'import', folders.profile, '--name', 'branch');
    await say('profiles', 'truststore', 'import', 'branch', '--central');
    const release = /branch@[0-9a-f]+/.exec(await say('profiles', 'prepare', 'branch'))?.[0] ?? '';
    await say('profiles', 'upgrade', release, '--agents', 'absent');
    const acts = [
      ['pause?dryRun=true', 200, undefined],
      ['pause', 200, 'paused'],
      ['pause', 409, 'rollout_state_conflict'],
      ['resume', 200, 'running'],
    ] as const;
    for (const [verb, status, found] of acts) {
      const { status: answered, body } = await b.rest('POST', `/rollouts/r-1/${verb}`, {});
      expect([answered, body.state ?? body.code], JSON.stringify(body)).toEqual([status, found]);
    }
    expect((await a.rest('GET', '/rollouts/r-1')).body.state).toBe('running');
    const [entry] = await rows(database, `SELECT who, action FROM audit WHERE action = 'rollouts.pause'`);
    expect(entry).toMatchObject({ who: 'first administrator' });
    // In the moment in which the lead moves, the answer says so; then the other node does it.
    await a.process.stop('SIGKILL');
    const refused = await b.rest('POST', '/rollouts/r-1/pause', {});
    expect([refused.status, refused.body.code]).toEqual([503, 'rollout_leader_silent']);
    await b.process.printed(/this node leads/);
    expect((await b.rest('GET', '/rollouts/r-1')).body.state).toBe('running');
    const paused = await until(async () => {
      const { status, body } = await b.rest('POST', '/rollouts/r-1/pause', {});
      return status === 200 ? body.state : undefined;
    });
    expect(paused).toBe('paused');
  });
});

describe.skipIf(lacksPostgres())('a Central that is gone', () => {
  const leaderOf = async (database: TestDatabase): Promise<string> => {
    const [row] = await rows(database, "SELECT holder FROM lease WHERE name = 'leader'");
    return String(row?.['holder']);
  };

  it('is followed by another leader within ten seconds, and one that slept writes nothing and ends', async () => {
    const database = await emptyDatabase();
    const a = await startNode(database, 'node-a');
    const b = await startNode(database, 'node-b', a.token);
    expect(await leaderOf(database)).toBe('node-a');
    a.process.child.kill('SIGSTOP');
    const stoppedAt = Date.now();
    await until(async () => (await leaderOf(database)) === 'node-b', LEAD_MS);
    expect(Date.now() - stoppedAt).toBeLessThan(LEAD_MS);
    await b.process.printed(/this node leads/);
    const before = await rows(database, 'SELECT count(*) AS n FROM audit');
    a.process.child.kill('SIGCONT');
    const ended = await a.process.ended();
    expect(ended).toMatchObject({ code: 1, signal: null });
    expect(ended.stderr).toContain('error');
    expect(await rows(database, 'SELECT count(*) AS n FROM audit')).toEqual(before);
    // The third takes over from one that is killed.
    const c = await startNode(database, 'node-c', a.token);
    await b.process.stop('SIGKILL');
    const killedAt = Date.now();
    await until(async () => (await leaderOf(database)) === 'node-c', LEAD_MS);
    expect(Date.now() - killedAt).toBeLessThan(LEAD_MS);
    await c.process.printed(/this node leads/);
  });

  it('leaves its agents to the other node, which they find by themselves', async () => {
    const database = await emptyDatabase();
    const a = await startNode(database, 'node-a');
    const b = await startNode(database, 'node-b', a.token);
    const folders = await agentFolders(cleanup);
    const hosts = ['--central-hosts', `localhost:${a.ports.wss},localhost:${b.ports.wss}`];
    const enrolled = await runNode('agent/cli.ts', [...(await a.enrollment()), ...agentFlags(folders, 'hopper')]);
    expect(enrolled).toMatchObject({ code: 0 });
    const agent = AgentProcess.start(cleanup, folders, 'hopper', hosts);
    const { id } = await a.online('hopper');
    const post = (n: number) => agent.local('POST', '/api/v1/events', { type: 'test', id: `e${n}` });
    for (let n = 0; n < 5; n += 1) await post(n);
    await a.process.stop('SIGKILL');
    for (let n = 5; n < 10; n += 1) await post(n);
    const ids = await until(async () => {
      const found = (await b.events(`&agent=${String(id)}`)).map(({ event }) => event['id']);
      return found.length >= 10 ? found : undefined;
    });
    expect(ids).toEqual(Array.from({ length: 10 }, (_, n) => `e${n}`));
    expect((await b.online('hopper'))['id']).toBe(id);
  });
});

describe.skipIf(lacksPostgres())('first starts', () => {
  it('of two Centrals at once make one authority and one administrator', async () => {
    const database = await emptyDatabase();
    const folders = [await cleanup.folder(), await cleanup.folder()];
    const started = folders.map((folder, index) => {
      const args = [CENTRAL_PROGRAM, '--data-folder', folder, '--advertised-names', 'localhost', ...anyPorts];
      const process_ = new Running(process.execPath, args, { env: environment(database, `node-${index}`) });
      cleanup.add(() => process_.stop());
      return process_;
    });
    await Promise.all(started.map((process_) => process_.printed(/Administration: .*\n/)));
    expect(await rows(database, 'SELECT count(*)::int AS n FROM api_token')).toEqual([{ n: 1 }]);
    expect(await rows(database, `SELECT count(*)::int AS n FROM audit WHERE action = 'ca.create'`)).toEqual([{ n: 1 }]);
    expect(await rows(database, 'SELECT count(*)::int AS n FROM enrollment_token')).toEqual([{ n: 1 }]);
    const [one, other] = await Promise.all(started.map(async ({ stdout }) => await shownBy(stdout)));
    expect(one).toEqual(other);
  });

  it('of a second Central without the key of the first is refused, and makes none', async () => {
    const database = await emptyDatabase();
    await startNode(database, 'node-a');
    const folder = await cleanup.folder();
    const { QUEUEGATE_KEY_ENCRYPTION_KEY: _, ...env } = environment(database, 'node-b');
    const ended = await run(process.execPath, [CENTRAL_PROGRAM, '--data-folder', folder, ...anyPorts], { env });
    expect(ended).toMatchObject({ code: 1, signal: null });
    expect(ended.stderr).toContain('key_encryption_key_elsewhere');
    expect(ended.stderr).toContain('from the host of node-a');
    expect(existsSync(join(folder, 'key-encryption-key'))).toBe(false);
  });

  it.each([1, 2, 3])(
    'of two Centrals at once without a common key make one; the other one is refused (%i)',
    async () => {
      const database = await emptyDatabase();
      const [one, other] = await Promise.all(
        ['node-a', 'node-b'].map(async (name) => {
          const folder = await cleanup.folder();
          const { QUEUEGATE_KEY_ENCRYPTION_KEY: _, ...env } = environment(database, name);
          const args = [CENTRAL_PROGRAM, '--data-folder', folder, '--advertised-names', 'localhost', ...anyPorts];
          const process_ = new Running(process.execPath, args, { env });
          cleanup.add(() => process_.stop());
          return { name, folder, process: process_, key: join(folder, 'key-encryption-key'), env, args };
        }),
      );
      if (one === undefined || other === undefined) throw new Error('two were started');
      const lost = await Promise.race([one, other].map(async (each) => (await each.process.ended(), each)));
      const won = lost === one ? other : one;
      await won.process.printed(/Administration: .*\n/);
      expect(await lost.process.ended()).toMatchObject({ code: 1, signal: null });
      expect(lost.process.stderr).toContain('key_encryption_key_elsewhere');
      expect(lost.process.stderr).toContain(`from the host of ${won.name}`);
      expect([existsSync(won.key), existsSync(lost.key)]).toEqual([true, false]);
      expect(await rows(database, 'SELECT count(*)::int AS n FROM api_token')).toEqual([{ n: 1 }]);
      expect(await rows(database, `SELECT count(*)::int AS n FROM audit WHERE action = 'ca.create'`)).toEqual([
        { n: 1 },
      ]);
      // As the error says.
      await mkdir(lost.folder, { recursive: true });
      const copied = join(lost.folder, 'copied-key');
      await copyFile(won.key, copied);
      const env = { ...lost.env, QUEUEGATE_KEY_ENCRYPTION_FILE: copied };
      const again = new Running(process.execPath, lost.args, { env });
      cleanup.add(() => again.stop());
      await again.printed(/Administration: .*\n/);
      expect(await shownBy(again.stdout)).toEqual(await shownBy(won.process.stdout));
      expect(await rows(database, 'SELECT count(*)::int AS n FROM api_token')).toEqual([{ n: 1 }]);
    },
  );
});

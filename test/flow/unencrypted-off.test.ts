// websocket.enabled=false under load: what stays, what goes, and that no event is lost or doubled by it.
import { afterEach, describe, expect, it } from 'vitest';
import { AgentProcess, CentralProcess, Cleanup, ownAddress, run, until } from './processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** Who listens on a port, as an administrator sees it. */
async function listening(port: number): Promise<string[]> {
  const { stdout } = await run('ss', ['-Hltn', `sport = :${port}`]);
  return stdout
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.trim().split(/\s+/)[3] ?? '')
    .toSorted();
}

/** Posts events one after the other until it is stopped; keeps those that were accepted. */
class Producer {
  readonly accepted: string[] = [];
  readonly #done: Promise<void>;
  #stopped = false;

  constructor(agent: AgentProcess, name: string) {
    this.#done = (async () => {
      for (let i = 0; !this.#stopped; i += 1) {
        const id = `${name}-${i}`;
        const { status } = await agent.local('POST', '/api/v1/events', { id, type: 'tick' });
        if (status === 202) this.accepted.push(id);
      }
    })();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }
}

const plain = (host: string, port: number): string[] => [
  '--central-websocket-secure',
  'false',
  '--central-hosts',
  `${host}:${port}`,
];

describe('websocket.enabled=false under load', () => {
  it('moves the ws listener to loopback, ends remote plain sessions with the reason, leaves loopback sessions alone, and every event is there once', async () => {
    const address = ownAddress();
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    expect((await central.change({ 'websocket.enabled': true })).status).toBe(200);
    const { ws: port } = central.ports;
    expect(await listening(port)).toEqual([`*:${port}`]);

    const remote = [
      await AgentProcess.enrolled(cleanup, central, 'remote-1', plain(address, port)),
      await AgentProcess.enrolled(cleanup, central, 'remote-2', plain(address, port)),
    ];
    const local = await AgentProcess.enrolled(cleanup, central, 'local-1', plain('127.0.0.1', port));
    const secure = await AgentProcess.enrolled(cleanup, central, 'secure-1', [
      '--central-hosts',
      `localhost:${central.ports.wss}`,
    ]);
    for (const name of ['remote-1', 'remote-2', 'local-1', 'secure-1']) await central.online(name);
    const before = { local: await central.agent('local-1'), secure: await central.agent('secure-1') };
    const producers = [...remote, local, secure].map((agent, i) => new Producer(agent, `p${i}`));
    await until(async () => ((await central.events()).length > 50 ? true : undefined));

    // Unforced, the change is refused and names who would be cut off; nothing moves.
    const refused = await central.change({ 'websocket.enabled': false });
    expect(refused).toMatchObject({ status: 409, body: { type: 'urn:queuegate:error:would_cut_off_agents' } });
    expect(refused.body.detail).toContain('remote-1');
    expect(refused.body.detail).not.toContain('local-1');
    expect(await listening(port)).toEqual([`*:${port}`]);

    expect(
      (await central.change({ 'websocket.enabled': false }, { force: true, comment: 'all agents are on wss' })).status,
    ).toBe(200);
    expect(await listening(port)).toEqual([`127.0.0.1:${port}`, `[::1]:${port}`]);
    for (const agent of remote) await agent.process.printed(/ws_disabled/);
    for (const name of ['remote-1', 'remote-2']) {
      await until(async () => ((await central.agent(name))?.['state'] === 'disconnected' ? true : undefined));
      expect((await central.agent(name))?.['stateReason']).toMatchObject({
        code: 'ws_disabled',
      });
    }
    // The same sessions, not new ones.
    expect((await central.agent('local-1'))?.['session']).toEqual(before.local?.['session']);
    expect((await central.agent('secure-1'))?.['session']).toEqual(before.secure?.['session']);

    const seen = (await central.events()).length;
    await until(async () => ((await central.events()).length > seen + 20 ? true : undefined));
    expect((await central.change({ 'websocket.enabled': true })).status).toBe(200);
    for (const name of ['remote-1', 'remote-2']) await central.online(name);
    for (const producer of producers) await producer.stop();
    const accepted = producers.flatMap((producer) => producer.accepted).toSorted();
    expect(accepted.length).toBeGreaterThan(100);
    const stored = await until(async () => {
      const ids = (await central.events()).map(({ event }) => String(event['id']));
      return ids.length >= accepted.length ? ids.toSorted() : undefined;
    });
    expect(stored).toEqual(accepted);
  }, 90_000);
});

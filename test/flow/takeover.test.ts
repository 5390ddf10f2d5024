// A connection with another configuration takes the session over, again and again, under messages both ways and between
// attempts that Central refuses: each message is there once, in order, and no log restarts. A real Central, and a
// daemon in this process.
import { pino } from 'pino';
import { afterEach, expect, it } from 'vitest';
import { loadAgentConf } from '../../agent/conf.ts';
import { NO_CONTROL } from '../../agent/connection/control.ts';
import { Daemon } from '../../agent/daemon.ts';
import { enrollAgent } from '../../agent/enrollment/command.ts';
import { loadCredentials } from '../../agent/identity/identity.ts';
import { openAgentStore } from '../../agent/store/store.ts';
import { loadTrusted } from '../../agent/trust/trusted.ts';
import { idsOf, message } from '../agent/store/samples.ts';
import { agentFolders, CentralProcess, Cleanup, until } from './processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const TAKEOVERS = 6;

async function onlineDaemon(central: CentralProcess) {
  const { profile, data } = await agentFolders(cleanup);
  const request = { profileFolder: profile, environment: {}, flags: { 'data-folder': data, 'agent-name': 'branch' } };
  const conf = await loadAgentConf(request);
  const [, url = '', , token = '', , pin] = await central.enrollment();
  const { identity } = await enrollAgent(conf, { url, token, pin, replaceIdentity: false });
  const bounds = { maxMessages: 10_000, maxBytes: 16 * 1024 ** 2 };
  const store = openAgentStore({
    folder: data,
    outbox: bounds,
    inbox: bounds,
    deduplicationMs: 86_400_000,
    now: Date.now,
    onFailure: (error) => {
      throw error;
    },
  });
  cleanup.add(() => store.stop());
  const daemon = new Daemon({
    firstConf: conf,
    firstName: 'branch',
    onName: () => undefined,
    conf: () => loadAgentConf(request),
    credentials: () => loadCredentials(data),
    trusted: (fresh) => loadTrusted(fresh),
    watched: () => [],
    outbox: store.outbox,
    inbox: store.inbox,
    control: NO_CONTROL,
    log: pino({ enabled: false }),
    now: Date.now,
  });
  store.outbox.onAppended(() => daemon.notify());
  daemon.start(() => undefined);
  cleanup.add(() => daemon.stop());
  await until(() => daemon.livePlan());
  return { daemon, store, conf, id: identity.id };
}

it('takes a session over without the loss or the repetition of a message', async () => {
  const central = await CentralProcess.start(cleanup, await cleanup.folder());
  const { daemon, store, conf, id } = await onlineDaemon(central);
  const sent = { events: [] as string[], commands: [] as string[] };
  let isOver = false;
  let next = 0;
  const produce = async (): Promise<void> => {
    while (!isOver) {
      const name = `e${sent.events.length}`;
      await store.outbox.append([message(name)]);
      sent.events.push(name);
    }
  };
  const command = async (): Promise<void> => {
    while (!isOver) {
      const name = `c${(next += 1)}`;
      const { status } = await central.rest('POST', `/agents/${id}/commands`, {
        type: 'test',
        id: name,
        source: '/test',
      });
      if (status === 202) sent.commands.push(name);
    }
  };
  const traffic = [produce(), command(), command()];
  const sessions = new Set<string>();
  const signal = new AbortController().signal;
  for (let turn = 0; turn < TAKEOVERS; turn += 1) {
    const [plan] = await daemon.plansFor(conf);
    if (plan === undefined) throw new Error('no plan');
    // Refused after its hello: the session goes on.
    const other = { ...plan, identity: { ...plan.identity, id: 'somebody-else' } };
    const before = daemon.status().central?.sessionId;
    const refused = daemon.attempt(other, signal);
    expect(await refused?.welcomed).toBe(false);
    expect((await refused?.ended)?.refusedWith).toBe('agent_unknown');
    expect(daemon.status()).toMatchObject({ state: 'online', central: { sessionId: before } });
    const [events, commands] = [sent.events.length, sent.commands.length];
    const attempt = daemon.attempt(plan, signal);
    expect(await attempt?.welcomed).toBe(true);
    sessions.add(daemon.status().central?.sessionId ?? '');
    expect(daemon.status().state).toBe('online');
    await until(() => sent.events.length > events + 20 && sent.commands.length > commands + 5);
  }
  isOver = true;
  await Promise.all(traffic);
  expect(sessions.size).toBe(TAKEOVERS);
  const arrived = await until(async () => {
    const found = (await central.events(`&agent=${id}`)).map(({ event }) => String(event['id']));
    return found.length >= sent.events.length ? found : undefined;
  });
  expect(arrived).toEqual(sent.events);
  const taken = await until(async () => {
    const found = await store.inbox.take('default', 10_000);
    return found.length >= sent.commands.length ? found : undefined;
  });
  expect(new Set(idsOf(taken))).toEqual(new Set(sent.commands));
  expect(taken).toHaveLength(sent.commands.length);
  expect(await store.incidents({ limit: 10, before: null })).toEqual([]);
  const { body } = await central.rest('GET', `/incidents?agent=${id}`);
  expect(body.items.map(({ code }: { code: string }) => code)).not.toContain('log_restarted');
});

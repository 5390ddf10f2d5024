// Which of two connections of one agent stays, and what it is welcomed with; over sockets of the test's own.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { ParameterValues } from '../../../central/parameters/definitions.ts';
import { QUARANTINE_MS } from '../../../central/sessions/clones/clone-guard.ts';
import { CLONE_TURNS } from '../../../central/store/agents/boot-history.ts';
import { sessionSettings } from '../../../central/sessions/open-sessions.ts';
import { Sessions, type ProvenConnection } from '../../../central/sessions/sessions.ts';
import { stateReason } from '../../../central/store/agents/state-reasons.ts';
import { storeFault } from '../../../central/store/errors.ts';
import type { AgentRecord, ClaimedSession } from '../../../central/store/agent-store.ts';
import { LIMITS, type Hello, type Welcome } from '../../../shared/wire/messages.ts';
import { signTranscript, verifyTranscript, welcomeTranscript } from '../../../shared/wire/proof.ts';
import { FakeSocket, fakeConnection } from './fake-agent.ts';

const keys = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const all: Sessions[] = [];
afterEach(async () => {
  for (const sessions of all.splice(0)) await sessions.stop(0, 0);
});

interface Setting {
  /** The store refuses every claim with this. */
  readonly claimFault?: Error;
  readonly promoted?: boolean;
  readonly agent?: Partial<AgentRecord>;
  readonly now?: () => number;
}

/** Sessions over a store that grants these epochs, one after the other. */
function setUp(epochs: readonly number[], { claimFault, promoted = false, agent, now = Date.now }: Setting = {}) {
  const clock = { at: 1_790_000_000_000, bootMs: 5_000 };
  const aging = { now: () => clock.at, steady: () => clock.at, offsetMs: () => clock.at - clock.bootMs };
  const grants = [...epochs];
  const ended: { epoch: number; reason: string }[] = [];
  const seen = {
    incidents: [] as object[],
    quarantined: [] as unknown[],
    claims: [] as object[],
    promoted: [] as string[],
    opened: [] as string[],
    closed: [] as string[],
    controls: [] as string[],
    budgets: [] as object[],
    log: [] as object[],
    corks: [] as string[],
    reads: 0,
    acknowledged: [] as unknown[],
    begun: [] as unknown[],
  };
  const claim = async (of: object): Promise<ClaimedSession> => {
    seen.claims.push(of);
    if (claimFault !== undefined) throw claimFault;
    return {
      epoch: grants.shift() ?? 0,
      key: 7,
      name: 'branch as claimed',
      up: null,
      begun: { incarnation: 'log of a', next: 4, deduplicates: false },
      down: { incarnation: 'c', next: 1, missing: null },
      newest: 0,
      promoted,
    };
  };
  const store = {
    agents: {
      claimSession: claim,
      logIn: async (of: object) => ({ kind: 'claimed', claimed: await claim(of), certificate: null }) as const,
      quarantine: async (...words: unknown[]) => void seen.quarantined.push(words),
      endSession: async (end: { epoch: number; reason: string }) => void ended.push(end),
    },
    outbox: {
      read: async () => {
        seen.reads += 1;
        return [];
      },
      acknowledge: async (...words: unknown[]) => void seen.acknowledged.push(words),
      expire: async () => 0,
    },
    inbox: { begin: async (...words: unknown[]) => void seen.begun.push(words), append: async () => 0 },
  };
  const sessions = new Sessions({
    store: store as never,
    incidents: { record: (incident: object) => void seen.incidents.push(incident) } as never,
    node: 'n',
    central: 'central.test',
    sign: (transcript) => signTranscript(transcript, keys.privateKey),
    settings: () => ({ heartbeatSeconds: 15, slowPeerSeconds: 60, disabledRetrySeconds: 60, limits: { ...LIMITS } }),
    log: {
      info: (about: object, text: string) => void seen.log.push({ ...about, text }),
      warn() {},
      debug: (about: object, text: string) => void seen.log.push({ ...about, text }),
    } as never,
    now,
    aging,
    heapLimitBytes: 1024 ** 3,
    onBudgets: (budgets) => void seen.budgets.push(budgets),
    onOpened: ({ agentName }) => void seen.opened.push(agentName),
    onPromoted: (agentId) => void seen.promoted.push(agentId),
    onClosed: ({ agentId }, { code }) => void seen.closed.push(`${agentId}: ${code}`),
    onEvents: () => undefined,
    control: {
      onOpened: (session) => void seen.controls.push(`opened ${session.facts.agentId}`),
      onFrame: (session, { type }) => void seen.controls.push(`${type} of ${session.facts.agentId}`),
    },
  });
  all.push(sessions);
  const prepare = (bootId: string) => {
    const socket = new FakeSocket();
    const hello = {
      type: 'hello',
      id: 'a',
      name: 'branch',
      version: '1',
      bootId: bootId,
      nonce: `nonce of ${bootId} `.repeat(2),
      transport: 'wss',
      capabilities: [],
      logs: { down: null },
    } as unknown as Hello;
    const connection = fakeConnection({
      cork: () => void seen.corks.push('cork'),
      uncork: () => void seen.corks.push('uncork'),
    });
    const proven: ProvenConnection = {
      hello,
      sessionId: randomUUID(),
      keyThumbprint: 't',
      certificate: null,
      webSocket: socket.webSocket,
      connection,
      listener: 'wss',
      origin: { address: '192.0.2.1', peer: '192.0.2.1', proxied: false, scheme: 'wss' },
    };
    return { socket, hello, proven };
  };
  const connect = (bootId: string) => {
    const made = prepare(bootId);
    return { ...made, welcomed: sessions.welcome(made.proven, { quarantinedUntil: null, session: null, ...agent }) };
  };
  /** One whose look-up has claimed the session. */
  const logIn = (bootId: string) => {
    const { socket, hello, proven } = prepare(bootId);
    const login = sessions.logIn(proven, { keyAlone: true, expiresAfter: 0 });
    const welcomed = login.then(async (claimed) => {
      if (claimed.kind === 'claimed') await sessions.welcomeClaimed(proven, claimed.claimed);
    });
    return { socket, hello, sessionId: proven.sessionId, welcomed };
  };
  return { sessions, prepare, connect, logIn, ended, clock, seen };
}

const settled = async (): Promise<void> => {
  for (let i = 0; i < 3; i += 1) await new Promise((resolve) => setImmediate(resolve));
};

describe('two connections of one agent', () => {
  it('the one with the higher epoch stays; the other is notified and ended', async () => {
    const { sessions, connect } = setUp([1, 2]);
    const first = connect('one');
    await first.welcomed;
    const second = connect('one');
    await second.welcomed;
    expect(first.socket.sent.at(-1)).toMatchObject({ type: 'refuse', code: 'superseded' });
    expect(first.socket.closed).toBeGreaterThanOrEqual(4400);
    expect(sessions.of('a')?.facts.epoch).toBe(2);
  });

  it('one whose claim was overtaken on its way is refused, and takes nothing from the newer', async () => {
    const { sessions, connect } = setUp([7, 5]);
    const newer = connect('one');
    await newer.welcomed;
    const older = connect('one');
    await expect(older.welcomed).rejects.toMatchObject({ code: 'superseded' });
    expect(older.socket.sent).toEqual([]);
    expect(newer.socket.closed).toBeUndefined();
    expect(sessions.of('a')?.facts.epoch).toBe(7);
  });

  it('one that went away before its welcome leaves no session', async () => {
    const { sessions, connect, ended } = setUp([3]);
    const gone = connect('one');
    gone.socket.readyState = 3;
    await gone.welcomed;
    expect(sessions.size).toBe(0);
    expect(ended).toMatchObject([{ epoch: 3 }]);
  });

  it('of an agent that was revoked meanwhile none is let in', async () => {
    const { sessions, connect } = setUp([4]);
    sessions.revoke('a', 5, 'keyCompromise');
    await expect(connect('one').welcomed).rejects.toMatchObject({ code: 'agent_revoked' });
    expect(sessions.size).toBe(0);
  });
});

describe('a session that was claimed with the look-up of its agent', () => {
  it('is welcomed as any other, and ends the older one', async () => {
    const { sessions, connect, logIn, seen } = setUp([1, 2]);
    const first = connect('one');
    await first.welcomed;
    const second = logIn('one');
    await second.welcomed;
    expect(first.socket.sent.at(-1)).toMatchObject({ type: 'refuse', code: 'superseded' });
    expect(second.socket.sent[0]).toMatchObject({ type: 'welcome', sessionId: second.sessionId, epoch: 2 });
    expect([sessions.of('a')?.facts.epoch, seen.claims.length]).toEqual([2, 2]);
  });

  it('is for a hello that cannot be one of two running copies; such a one gives the claim up again', async () => {
    const { sessions, connect, logIn, seen, ended } = setUp([1, 2, 3, 4, 5, 6, 7, 8]);
    const steady = (bootId: string): boolean => sessions.isSteady({ id: 'a', bootId } as Hello);
    expect(steady('one')).toBe(true);
    await connect('one').welcomed;
    expect([steady('one'), steady('two')]).toEqual([true, false]);
    for (const bootId of ['two', 'one', 'two', 'one', 'two']) await connect(bootId).welcomed;
    const last = connect('one');
    await last.welcomed;
    await expect(logIn('two').welcomed).rejects.toMatchObject({ code: 'quarantined' });
    expect([seen.quarantined.length, last.socket.sent.at(-1)?.['code']]).toEqual([1, 'quarantined']);
    expect(ended).toContainEqual(expect.objectContaining({ epoch: 8 }));
  });

  it('can be given up: the older one is over all the same', async () => {
    const { sessions, connect, prepare, ended } = setUp([1]);
    const first = connect('one');
    await first.welcomed;
    const { proven } = prepare('one');
    await sessions.giveUp(proven, { epoch: 2, promoted: false } as ClaimedSession);
    expect(first.socket.sent.at(-1)).toMatchObject({ type: 'refuse', code: 'superseded' });
    expect(ended).toMatchObject([{ epoch: 2 }]);
  });

  it('of a name that is taken is refused with an incident', async () => {
    const taken = storeFault('agent_name_taken', { name: 'branch', owner: 'b' });
    const { logIn, seen } = setUp([], { claimFault: taken });
    await expect(logIn('one').welcomed).rejects.toMatchObject({ code: 'agent_name_taken', close: expect.any(Number) });
    expect(seen.incidents).toMatchObject([{ kind: 'agent_name_taken', agentId: 'a' }]);
  });
});

describe('the begin of an agent', () => {
  const begin = (change: object = {}): Buffer =>
    Buffer.from(JSON.stringify({ type: 'begin', incarnation: 'log of a', next: 4, missing: null, ...change }));

  it('is not written where its log goes on as the claim found it', async () => {
    const { connect, seen } = setUp([1]);
    const { socket, welcomed } = connect('one');
    await welcomed;
    socket.emit('message', begin(), false);
    await settled();
    expect([seen.begun, socket.closed]).toEqual([[], undefined]);
  });

  it.each([[{ incarnation: 'another' }], [{ next: 5 }], [{ next: 1 }]])('is written with %j', async (change) => {
    const { connect, seen } = setUp([1]);
    const { socket, welcomed } = connect('one');
    await welcomed;
    socket.emit('message', begin(change), false);
    await settled();
    expect(seen.begun).toMatchObject([
      ['a', 1, { incarnation: 'log of a', next: 4, ...change, deduplicates: false }, {}],
    ]);
  });
});

describe('a disabled agent', () => {
  it('loses its session at once with a code of its own, and is not let in by a claim from before', async () => {
    const { sessions, connect } = setUp([4, 5, 7]);
    const { socket, welcomed } = connect('one');
    await welcomed;
    sessions.disable('a', 6);
    expect(socket.sent.at(-1)).toMatchObject({ type: 'refuse', code: 'agent_disabled', retryAfterSeconds: 60 });
    expect(socket.closed).toBe(4519);
    await expect(connect('one').welcomed).rejects.toMatchObject({ code: 'agent_disabled' });
    const enabled = connect('one');
    await enabled.welcomed;
    expect(sessions.of('a')?.facts.epoch).toBe(7);
    sessions.disable('a', 6);
    expect(enabled.socket.closed).toBeUndefined();
  });
});

describe('an agent that an administrator names', () => {
  it('is reported with that name from then on, in the session that it has', async () => {
    const { sessions, connect } = setUp([1]);
    await connect('one').welcomed;
    sessions.rename('a', 'kasse-1');
    sessions.rename('b', 'kasse-2');
    expect((await sessions.online()).map(({ agentName, epoch }) => [agentName, epoch])).toEqual([['kasse-1', 1]]);
  });
});

describe('a welcome', () => {
  it('is signed over all that it says and over the nonce of its hello, by the key of Central', async () => {
    const { connect } = setUp([1]);
    const { socket, hello, welcomed } = connect('one');
    await welcomed;
    const { signature, ...said } = socket.sent[0] as unknown as Welcome;
    const signed = (over: Partial<Welcome> = {}, to = hello) =>
      verifyTranscript(welcomeTranscript(to, 'central.test', { ...said, ...over }), signature, keys.publicKey);
    expect(signed()).toBe(true);
    expect([
      signed({ epoch: 2 }),
      signed({ time: said.time + 1 }),
      signed({ sessionId: 'another' }),
      signed({ heartbeatSeconds: 1 }),
      signed({ logs: { up: { incarnation: 'x', number: 1, id: 'y' } } }),
      signed({}, { ...hello, nonce: 'another' }),
    ]).toEqual([false, false, false, false, false, false]);
  });

  it('says the time of Central; after its clock was set, agents reconnect to get it, and others do not', async () => {
    const { sessions, connect, clock } = setUp([1, 2]);
    const { socket, welcomed } = connect('one');
    await welcomed;
    expect(socket.sent[0]).toMatchObject({ type: 'welcome', time: clock.at });
    clock.at += 3_600_000;
    clock.bootMs += 3_600_000 + 9_000;
    sessions.correctTime();
    expect([socket.closed, socket.sent.filter(({ type }) => type === 'drain')]).toEqual([undefined, []]);
    clock.at += 20_000;
    sessions.correctTime();
    expect(socket.sent.slice(-2)).toMatchObject([
      { type: 'drain', retryAfterSeconds: 0, spreadSeconds: 60 },
      { type: 'refuse', code: 'going_away' },
    ]);
    const next = connect('one');
    await next.welcomed;
    sessions.correctTime();
    expect(next.socket.closed).toBeUndefined();
  });
});

describe('a claim that the store refuses', () => {
  const faults: readonly (readonly [Error, object])[] = [
    [
      storeFault('agent_name_taken', { name: 'branch', owner: 'b' }),
      { code: 'agent_name_taken', parameters: { name: 'branch' } },
    ],
    [
      storeFault('agent_name_reserved', { name: 'branch', found: 'it is' }),
      { code: 'agent_name_taken', parameters: { name: 'branch' } },
    ],
    [storeFault('agent_revoked', { id: 'a' }), { code: 'agent_revoked', parameters: { reason: 'just now' } }],
    [storeFault('agent_disabled', { id: 'a' }), { code: 'agent_disabled' }],
    [storeFault('agent_unknown', { id: 'a' }), { code: 'agent_unknown', parameters: { id: 'a' } }],
  ];

  it.each(faults)('is refused as that, and opens no session: %s', async (claimFault, expected) => {
    const { sessions, connect, seen } = setUp([], { claimFault, now: () => 77 });
    const error: unknown = await connect('one').welcomed.catch((caught: unknown) => caught);
    expect(error).toMatchObject({ ...expected, cause: claimFault, close: expect.any(Number) });
    const incident = { agentId: 'a', address: '192.0.2.1', at: 77, detail: { name: 'branch' } };
    const isName = (expected as { code: string }).code === 'agent_name_taken';
    expect(seen.incidents).toEqual(isName ? [{ kind: 'agent_name_taken', ...incident }] : []);
    expect(sessions.size).toBe(0);
  });

  it('any other error stays what it is', async () => {
    const claimFault = new Error('the disk');
    await expect(setUp([], { claimFault }).connect('one').welcomed).rejects.toBe(claimFault);
  });

  it('names the agent, its key, what it says, and where it comes from', async () => {
    const { connect, seen } = setUp([1], { now: () => 77 });
    await connect('one').welcomed;
    expect(seen.claims).toEqual([
      {
        agentId: 'a',
        keyThumbprint: 't',
        name: 'branch',
        session: expect.stringMatching(/^[0-9a-f-]{36}$/),
        bootId: 'one',
        version: '1',
        transport: 'wss',
        address: '192.0.2.1',
        node: 'n',
        down: null,
        now: 77,
      },
    ]);
  });
});

describe('two running copies', () => {
  it('are quarantined when they alternate: the session ends, both read for how long, and the incident names both', async () => {
    const at = 1_790_000_000_000;
    const { sessions, connect, seen } = setUp([1, 2, 3, 4, 5, 6, 7, 8, 9], { now: () => at });
    const boots = Array.from({ length: CLONE_TURNS + 2 }, (_, i) => (i % 2 === 0 ? 'one' : 'two'));
    let last = connect('one');
    await last.welcomed;
    for (const boot of boots.slice(1)) {
      last = connect(boot);
      await last.welcomed;
    }
    const refused: unknown = await connect(boots.at(-2) ?? '').welcomed.catch((error: unknown) => error);
    const seconds = QUARANTINE_MS / 1000;
    expect(refused).toMatchObject({ code: 'quarantined', parameters: { seconds } });
    expect(last.socket.sent.at(-1)).toMatchObject({ type: 'refuse', code: 'quarantined', retryAfterSeconds: seconds });
    expect(seen.quarantined).toEqual([
      ['a', at + QUARANTINE_MS, at, expect.stringMatching(/^quarantined: Two running copies/)],
    ]);
    expect(seen.incidents).toEqual([
      {
        kind: 'clone',
        agentId: 'a',
        address: '192.0.2.1',
        at,
        detail: { boots: [boots.at(-2), boots.at(-1)], otherAddress: '192.0.2.1' },
      },
    ]);
    expect(sessions.of('a')?.facts.bootId).toBe(boots.at(-1));
  });

  it('are forgotten when the agent is deleted or has another key', async () => {
    for (const act of ['remove', 'identityReplaced'] as const) {
      const { sessions, connect, seen } = setUp(Array.from({ length: 40 }, (_, i) => i + 1));
      for (let i = 0; i < 4 * CLONE_TURNS; i += 1) {
        await connect(i % 2 === 0 ? 'one' : 'two').welcomed;
        sessions[act]('a');
      }
      expect([act, seen.quarantined]).toEqual([act, []]);
      sessions[act]('an agent that is offline');
    }
  });

  it('in quarantine wait for its end, in whole seconds', async () => {
    const refusedAt = async (now: number): Promise<unknown> => {
      const { connect } = setUp([1], { now: () => now, agent: { quarantinedUntil: 90_500 } });
      return await connect('one').welcomed.catch((error: unknown) => error);
    };
    expect(await refusedAt(60_000)).toMatchObject({ code: 'quarantined', parameters: { seconds: 31 } });
    expect([await refusedAt(90_500), await refusedAt(100_000)]).toEqual([undefined, undefined]);
  });
});

describe('what begins and ends a session', () => {
  it.each([
    ['remove', 'agent_deleted'],
    ['identityReplaced', 'identity_replaced'],
  ] as const)('%s ends it as %s, which is recorded when the connection is gone', async (act, code) => {
    const { sessions, connect, ended, seen } = setUp([3]);
    const { socket, welcomed } = connect('one');
    await welcomed;
    expect([seen.opened, seen.controls, seen.promoted]).toEqual([['branch as claimed'], ['opened a'], []]);
    sessions[act]('a');
    expect(socket.sent.at(-1)).toMatchObject({ type: 'refuse', code, retryAfterSeconds: null });
    socket.terminate();
    expect([sessions.size, seen.closed]).toEqual([0, [`a: ${code}`]]);
    expect(ended).toMatchObject([{ agentId: 'a', epoch: 3, reason: expect.stringContaining(`${code}: `) }]);
  });

  it('a revocation says why', async () => {
    const { sessions, connect } = setUp([1]);
    const { socket, welcomed } = connect('one');
    await welcomed;
    sessions.revoke('a', 2, 'keyCompromise');
    expect(socket.sent.at(-1)).toMatchObject({
      code: 'agent_revoked',
      detail: expect.stringContaining('keyCompromise'),
    });
  });

  it('a claim that makes the next key the current one is reported', async () => {
    const { connect, seen } = setUp([1], { promoted: true });
    await connect('one').welcomed;
    expect(seen.promoted).toEqual(['a']);
  });

  it('which agents are online, and each session, are found; a hint about commands has them read', async () => {
    const { sessions, connect, seen } = setUp([1]);
    await connect('one').welcomed;
    expect((await sessions.online()).map(({ agentId, epoch }) => [agentId, epoch])).toEqual([['a', 1]]);
    const found: string[] = [];
    sessions.each(({ facts }) => found.push(facts.agentId));
    expect(found).toEqual(['a']);
    await settled();
    const before = seen.reads;
    sessions.notify('an agent that is offline');
    await settled();
    expect(seen.reads).toBe(before);
    sessions.notify('a');
    await settled();
    expect(seen.reads).toBe(before + 1);
  });

  it('the number of an agent is known while its session is open, and no longer', async () => {
    const { sessions, connect } = setUp([1]);
    expect(sessions.keyOf('a')).toBeUndefined();
    await connect('one').welcomed;
    expect([sessions.keyOf('a'), sessions.keyOf('A')]).toEqual([7, undefined]);
    sessions.remove('a');
    expect(sessions.keyOf('a')).toBeUndefined();
  });

  it('while Central stops none begins, and agents reconnect after it', async () => {
    const { sessions, connect, ended } = setUp([1, 2]);
    const first = connect('one');
    await first.welcomed;
    const stopped = sessions.stop(30, 60_000);
    expect(first.socket.sent.slice(-2)).toMatchObject([
      { type: 'drain', retryAfterSeconds: 1, spreadSeconds: 30 },
      { type: 'refuse', code: 'going_away' },
    ]);
    await expect(connect('one').welcomed).rejects.toMatchObject({ code: 'going_away' });
    expect(ended).toMatchObject([{ epoch: 2, reason: stateReason('session_unwelcomed', {}) }]);
    first.socket.terminate();
    await stopped;
    expect(sessions.size).toBe(0);
  });

  it('the budgets are reported a few times per second', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const { seen } = setUp([]);
    vi.advanceTimersByTime(1_000);
    expect(seen.budgets.length).toBeGreaterThanOrEqual(4);
    expect(seen.budgets[0]).toEqual({ intakeBytes: 0, waitingSessions: 0, outflowBytes: 0 });
  });

  it('frames beside the messages reach their part; the log says when an agent came and went, and why', async () => {
    const { sessions, connect, seen } = setUp([1]);
    const { socket, welcomed } = connect('one');
    await welcomed;
    sessions.of('a')?.sendControl({ type: 'renewed', pem: '' });
    socket.emit('message', Buffer.from(JSON.stringify({ type: 'renew-installed', thumbprint: '0'.repeat(64) })), false);
    expect(seen.controls).toEqual(['opened a', 'renew-installed of a']);
    // One write for the welcome and the begin behind it.
    await settled();
    expect(seen.corks.slice(0, 2)).toEqual(['cork', 'uncork']);
    socket.terminate();
    const session = expect.stringMatching(/^[0-9a-f-]{36}$/);
    expect(seen.log).toEqual([
      {
        agent: 'a',
        name: 'branch as claimed',
        session,
        epoch: 1,
        transport: 'wss',
        address: '192.0.2.1',
        node: 'n',
        text: 'agent online',
      },
      { agent: 'a', session, reason: 'session_cut', detail: expect.any(String), text: 'agent offline' },
    ]);
  });

  it('the number of agents that are asked to reconnect is that of those that fit', async () => {
    const { sessions, connect } = setUp([1]);
    const { socket, welcomed } = connect('one');
    await welcomed;
    expect(sessions.requestReconnect(({ agentId }) => agentId === 'b', 5)).toBe(0);
    expect(socket.sent.map(({ type }) => type)).not.toContain('drain');
    expect(sessions.requestReconnect(({ agentId }) => agentId === 'a', 5)).toBe(1);
    expect(socket.sent.slice(-2)).toMatchObject([
      { type: 'drain', retryAfterSeconds: 0, spreadSeconds: 5 },
      { type: 'refuse', code: 'going_away' },
    ]);
  });
});

describe('the settings of sessions', () => {
  it('are those parameters', () => {
    const values = {
      'agents.heartbeatSeconds': 1,
      'agents.slowPeerSeconds': 2,
      'agents.disabledRetrySeconds': 3,
      'agents.maxFrameBytes': 4,
      'agents.maxMessageBytes': 5,
      'agents.windowItems': 6,
      'agents.windowBytes': 7,
    } as ParameterValues;
    expect(sessionSettings(values)).toEqual({
      heartbeatSeconds: 1,
      slowPeerSeconds: 2,
      disabledRetrySeconds: 3,
      limits: { maxFrameBytes: 4, maxMessageBytes: 5, windowItems: 6, windowBytes: 7 },
    });
  });
});

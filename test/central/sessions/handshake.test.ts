// The handshake step by step over a socket of the test's own: who is welcomed, and what each refusal says, records and
// costs.
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { ClientAuth } from '../../../central/auth/client-certificate.ts';
import { Admission } from '../../../central/sessions/admission.ts';
import { Handshake, type UpgradedConnection } from '../../../central/sessions/handshake.ts';
import { AgentRate } from '../../../central/sessions/limits/agent-rate.ts';
import type { ProvenConnection, ProvenHello } from '../../../central/sessions/sessions.ts';
import type { AgentRecord, ClaimedSession, ClaimTerms, Login } from '../../../central/store/agent-store.ts';
import { meetsTerms } from '../../../central/store/agents/claim-terms.ts';
import { MAX_HELLO_BYTES, type Challenge } from '../../../shared/wire/messages.ts';
import { hasChecksum, withChecksum } from '../../../shared/wire/checksum.ts';
import { refusal } from '../../../shared/wire/refusals.ts';
import { AGENT, FakeSocket, fakeConnection, hello } from './fake-agent.ts';

const ADDRESS = '192.0.2.7';
const NOW = Date.UTC(2026, 10, 27);
const BURST = 3;

interface Setting {
  readonly agent?: Partial<AgentRecord> | null;
  readonly maxAgents?: number;
  readonly clientAuth?: ClientAuth;
  readonly blocked?: Error;
  readonly places?: number;
  /** What the sessions, or the registry, answer. */
  readonly welcome?: () => Promise<void>;
  readonly lookUp?: () => Promise<AgentRecord | undefined>;
  readonly onProven?: () => void;
  /** The sessions know no other boot of the agent. */
  readonly isSteady?: boolean;
}

const CLAIMED: ClaimedSession = {
  epoch: 1,
  key: 1,
  name: 'branch',
  up: null,
  begun: null,
  down: { incarnation: 'c', next: 1, missing: null },
  newest: 0,
  promoted: false,
};

function setUp(setting: Setting = {}) {
  const { maxAgents = 100, clientAuth = 'none', blocked, places = 100 } = setting;
  const clock = { now: NOW };
  const seen = {
    welcomed: [] as Record<string, unknown>[],
    refused: [] as unknown[],
    /** Refusals that may become the state of the agent. */
    asStates: [] as string[],
    incidents: [] as object[],
    log: [] as { level: string; text: string; [name: string]: unknown }[],
    blockedFor: [] as unknown[],
    lookUps: [] as string[],
  };
  const line = (level: string) => (about: object, text: string) => void seen.log.push({ level, text, ...about });
  const admission = new Admission({
    maxAgents: () => maxAgents,
    descriptors: { sessions: 1_000, handshakes: () => places, limit: 4_096, onSessionsFull: () => undefined },
    sessions: () => 0,
    elsewhere: () => 0,
    random: () => 0.5,
  });
  const logins = new AgentRate(BURST, 10, () => clock.now);
  const lookUp =
    setting.lookUp ??
    (async (id: string) => (setting.agent === null || id !== 'a1' ? undefined : { ...AGENT, ...setting.agent }));
  const welcome = async (proven: ProvenConnection): Promise<void> => {
    seen.welcomed.push({ ...proven });
    await setting.welcome?.();
  };
  const handshake = new Handshake({
    central: 'bank',
    agents: {
      get(id) {
        seen.lookUps.push('alone');
        return lookUp(id);
      },
    },
    sessions: {
      isSteady() {
        setting.onProven?.();
        return setting.isSteady ?? true;
      },
      async logIn({ hello: { id, bootId }, keyThumbprint }: ProvenHello, terms: ClaimTerms): Promise<Login> {
        seen.lookUps.push('with the claim');
        const agent = await lookUp(id);
        return agent !== undefined && meetsTerms(agent, { keyThumbprint, bootId, now: clock.now }, terms)
          ? { kind: 'claimed', claimed: CLAIMED, certificate: agent.certificate }
          : { kind: 'found', agent };
      },
      giveUp: async () => void seen.lookUps.push('given up'),
      welcome,
      welcomeClaimed: async (proven, claimed) => {
        expect(claimed).toBe(CLAIMED);
        await welcome(proven);
      },
    },
    admission,
    logins,
    incidents: { record: (incident: object) => void seen.incidents.push(incident) } as never,
    refused: { record: (hello, { code }) => void seen.asStates.push(`${hello.id} ${code}`), welcomed: () => undefined },
    mayStay: (...words) => {
      seen.blockedFor.push(words);
      return blocked;
    },
    clientAuth: () => clientAuth,
    authorities: () => [],
    authentication: () => ({ authentication: 'certificate-or-key', graceDays: 30 }),
    certificateTime: () => clock.now,
    welcomeTimeoutMs: () => 5_000,
    disabledRetrySeconds: () => 77,
    log: { info: line('info'), debug: line('debug'), error: line('error') } as never,
    now: () => clock.now,
    onRefused: ({ code }, from) => void seen.refused.push({ code, ...from }),
  });
  const connect = (listener: 'ws' | 'wss' = 'ws', address = ADDRESS, acceptedAt = performance.now()) => {
    const socket = new FakeSocket();
    socket.isPaused = false;
    const connection = fakeConnection();
    const upgraded: UpgradedConnection = {
      webSocket: socket.webSocket,
      connection,
      listener,
      origin: { address, peer: address, proxied: listener === 'wss', scheme: listener },
      acceptedAt,
    };
    const done = handshake.run(upgraded);
    return { socket, connection, upgraded, done };
  };
  /** A handshake in which the agent answers with this. */
  const greet = async (answer: (challenge: Challenge) => Buffer, isBinary = false, listener: 'ws' | 'wss' = 'ws') => {
    const made = connect(listener);
    const [challenge] = made.socket.sent;
    made.socket.emit('message', answer(challenge as unknown as Challenge), isBinary);
    await made.done;
    return made;
  };
  return { admission, logins, clock, seen, connect, greet };
}

const good = (challenge: Challenge): Buffer => hello(challenge);
const tampered = (challenge: Challenge): Buffer => Buffer.from(good(challenge).toString().replace('branch', 'brunch'));

describe('a handshake', () => {
  it('sends a challenge of its own to each connection, with a checksum where TLS has none', async () => {
    const { connect } = setUp();
    const [plain, secure] = [connect('ws'), connect('wss')];
    expect(plain.socket.sent[0]).toMatchObject({
      type: 'challenge',
      centralName: 'bank',
      sentAt: '2026-11-27T00:00:00.000Z',
    });
    const nonces = [plain, secure].map(({ socket }) => String(socket.sent[0]?.['nonce']));
    expect(nonces.map((nonce) => Buffer.from(nonce, 'base64url').length)).toEqual([24, 24]);
    expect(nonces[0]).not.toBe(nonces[1]);
    expect([plain, secure].map(({ socket }) => hasChecksum(Buffer.from(socket.texts[0] ?? '')))).toEqual([true, false]);
    for (const { socket, done } of [plain, secure]) {
      socket.terminate();
      await done;
    }
  });

  it('welcomes the agent of a proven hello, with what is on record and its connection, and reads nothing until then', async () => {
    const { greet, seen, admission } = setUp();
    const { socket, connection, upgraded } = await greet(good);
    expect(seen.welcomed).toEqual([
      {
        hello: expect.objectContaining({ id: 'a1', name: 'branch' }) as unknown,
        sessionId: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown,
        keyThumbprint: AGENT.keyThumbprint,
        certificate: null,
        webSocket: upgraded.webSocket,
        connection: upgraded.connection,
        listener: 'ws',
        origin: upgraded.origin,
      },
    ]);
    expect(socket.isPaused).toBe(true);
    expect(socket.sent).toHaveLength(1);
    expect([socket.listenerCount('message'), socket.listenerCount('close'), connection.listenerCount('data')]).toEqual([
      0, 0, 0,
    ]);
    expect([admission.pendingHandshakes, seen.refused, seen.blockedFor]).toEqual([0, [], [['ws', upgraded.origin]]]);
  });

  it('looks an agent up and claims its session in one call, unless its record may decide something else', async () => {
    const plain = setUp();
    for (let i = 0; i < 2; i += 1) await plain.greet(good);
    expect(plain.seen.lookUps).toEqual(['with the claim', 'with the claim']);
    // Another boot may be a clone; a client certificate that is missing or foreign has its place among the refusals.
    const unsteady = setUp({ isSteady: false });
    await unsteady.greet(good);
    const shown = setUp({ clientAuth: 'required' });
    await shown.greet((challenge) => hello(challenge, { transport: 'wss' }), false, 'wss');
    expect([unsteady.seen.lookUps, shown.seen.lookUps]).toEqual([['alone'], ['alone']]);
    expect([plain, unsteady, shown].map(({ seen }) => seen.welcomed.length)).toEqual([2, 1, 0]);
  });

  it('is looked up alone behind another one of its agent', async () => {
    // The first look-up is answered when both hellos are proven.
    const proven = Promise.withResolvers<void>();
    let count = 0;
    const onProven = (): void => {
      count += 1;
      if (count === 2) proven.resolve();
    };
    const { connect, seen } = setUp({ onProven, lookUp: () => proven.promise.then(() => AGENT) });
    const both = [connect(), connect()];
    for (const { socket } of both) socket.emit('message', good(socket.sent[0] as unknown as Challenge), false);
    await Promise.all(both.map(({ done }) => done));
    expect([seen.lookUps, seen.welcomed.length]).toEqual([['with the claim', 'alone'], 2]);
  });

  it('takes a hello with a right checksum, and refuses one with a wrong one in a way that lets the agent retry', async () => {
    const { greet, seen } = setUp();
    await greet((challenge) => Buffer.from(withChecksum(good(challenge).toString())));
    expect(seen.welcomed).toHaveLength(1);
    const { socket } = await greet((challenge) =>
      Buffer.from(withChecksum(good(challenge).toString()).replace('branch', 'brunch')),
    );
    expect([socket.sent.at(-1)?.['code'], socket.closed]).toEqual(['frame_checksum', 4520]);
  });

  it('is refused before the challenge where agents from there are not allowed', async () => {
    const { connect, seen, admission } = setUp({ blocked: refusal('ws_disabled', {}) });
    const { socket, done } = connect();
    await done;
    expect(socket.sent).toEqual([
      {
        type: 'refuse',
        code: 'ws_disabled',
        detail: refusal('ws_disabled', {}).message,
        hint: refusal('ws_disabled', {}).hint,
        retryAfterSeconds: null,
      },
    ]);
    expect([socket.closed, admission.pendingHandshakes]).toEqual([4505, 0]);
    expect(seen.refused).toEqual([{ code: 'ws_disabled', listener: 'ws', address: ADDRESS }]);
  });

  it('ends without a word when the peer leaves, and gives its place back', async () => {
    const { connect, seen, admission } = setUp();
    const { socket, connection, done } = connect();
    expect(admission.pendingHandshakes).toBe(1);
    socket.emit('close');
    await done;
    expect([socket.sent.length, seen.refused, admission.pendingHandshakes]).toEqual([1, [], 0]);
    expect(connection.listenerCount('data')).toBe(0);
    // An error that comes late has a listener: without one it would end Central.
    socket.emit('error', new Error('read ECONNRESET'));
    expect(seen.log).toEqual([{ level: 'debug', text: 'socket error', address: ADDRESS, error: 'read ECONNRESET' }]);
  });

  it('times out at the end of the time from TCP to welcome, of which the upgrade has used a part', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const { connect, seen, admission } = setUp();
    const { socket, done } = connect('ws', ADDRESS, performance.now() - 2_000);
    await vi.advanceTimersByTimeAsync(2_999);
    expect(socket.sent).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    await done;
    expect(socket.sent[1]).toMatchObject({
      code: 'hello_timeout',
      detail: 'The handshake timed out after 5 seconds.',
      retryAfterSeconds: null,
    });
    expect([socket.closed, admission.pendingHandshakes, seen.incidents]).toEqual([4504, 0, []]);
    const late = connect('ws', ADDRESS, performance.now() - 60_000);
    await vi.advanceTimersByTimeAsync(0);
    await late.done;
    expect(late.socket.sent[1]).toMatchObject({ code: 'hello_timeout' });
  });

  it('has no timer left once the hello has come', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const { connect, seen } = setUp({ welcome: () => new Promise(() => undefined) });
    const { socket } = connect();
    socket.emit('message', good(socket.sent[0] as unknown as Challenge), false);
    await vi.waitFor(() => expect(seen.welcomed).toHaveLength(1));
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is refused while Central has no place, and tells administrators why, and agents when to retry', async () => {
    const { connect, seen } = setUp({ maxAgents: 0 });
    const { socket, done } = connect();
    await done;
    expect(socket.sent).toEqual([expect.objectContaining({ code: 'busy', retryAfterSeconds: 2 })]);
    expect([socket.closed, seen.refused]).toEqual([4503, [{ code: 'places_full', listener: 'ws', address: ADDRESS }]]);
    expect(() => socket.emit('error', new Error('late'))).not.toThrow();
  });

  it('that waits for its hello gives its place to a new one; one that is being proven keeps it', async () => {
    const { connect, seen, admission } = setUp({ places: 6, welcome: () => new Promise(() => undefined) });
    const proven = connect('ws', '198.51.100.1');
    proven.socket.emit('message', good(proven.socket.sent[0] as unknown as Challenge), false);
    await vi.waitFor(() => expect(seen.welcomed).toHaveLength(1));
    const silent = Array.from({ length: 5 }, () => connect());
    connect('ws', '203.0.113.1');
    await silent[0]?.done;
    expect(silent.map(({ socket }) => socket.sent.at(-1)?.['code'] ?? 'waits')).toEqual([
      'busy',
      ...Array.from({ length: 4 }, () => 'waits'),
    ]);
    expect([silent[0]?.socket.listenerCount('message'), admission.pendingHandshakes, proven.socket.closed]).toEqual([
      0,
      6,
      undefined,
    ]);
    expect(seen.refused).toEqual([{ code: 'place_given_up', listener: 'ws', address: ADDRESS }]);
  });
});

describe('the first frame', () => {
  it.each([
    ['a binary frame', '{}', true],
    [`a frame of ${MAX_HELLO_BYTES + 1} bytes`, ' '.repeat(MAX_HELLO_BYTES + 1), false],
    ['a frame of type ack', '{"type":"ack","through":1}', false],
    ['a frame of an unknown type', '{"type":"howdy"}', false],
    ['the text is not JSON: unexpected "G" at byte 0; expected: a value', 'GET /', false],
  ])('that is not a hello is refused: %s', async (found, text, isBinary) => {
    const { greet, seen } = setUp();
    const { socket } = await greet(() => Buffer.from(text), isBinary);
    expect(socket.closed).toBe(4400);
    expect(socket.sent[1]).toMatchObject({ detail: refusal('unsupported_protocol', { found }).message });
    expect([seen.welcomed, seen.incidents, socket.isPaused]).toEqual([[], [], false]);
  });

  it('of exactly the bytes that a hello may have is read', async () => {
    const { greet, seen } = setUp();
    await greet((challenge) => Buffer.from(good(challenge).toString().padEnd(MAX_HELLO_BYTES, ' ')));
    expect(seen.welcomed).toHaveLength(1);
  });

  it('with a second one behind it in the same packet is refused', async () => {
    const { connect, seen } = setUp();
    const { socket, done } = connect();
    socket.emit('message', good(socket.sent[0] as unknown as Challenge), false);
    socket.emit('message', Buffer.from('{"type":"ack","through":1}'), false);
    await done;
    expect(socket.sent[1]).toMatchObject({
      code: 'unsupported_protocol',
      detail: refusal('unsupported_protocol', { found: 'more than a hello before the welcome' }).message,
    });
    expect([seen.welcomed, socket.listenerCount('message')]).toEqual([[], 0]);
  });

  it('that is never finished is cut behind the bytes of a hello, and behind 256 pieces', async () => {
    const { connect, admission } = setUp();
    const bytes = connect();
    bytes.connection.emit('data', Buffer.alloc(MAX_HELLO_BYTES + 256));
    expect(bytes.socket.terminations).toBe(0);
    bytes.connection.emit('data', Buffer.alloc(1));
    expect(bytes.socket.terminations).toBe(1);
    const pieces = connect();
    for (let i = 0; i < 256; i += 1) pieces.connection.emit('data', Buffer.alloc(1));
    expect(pieces.socket.terminations).toBe(0);
    pieces.connection.emit('data', Buffer.alloc(1));
    expect(pieces.socket.terminations).toBe(1);
    await Promise.all([bytes.done, pieces.done]);
    expect(admission.pendingHandshakes).toBe(0);
  });
});

describe('a refusal', () => {
  it('of a wrong signature is an incident of the agent that was named', async () => {
    const { greet, seen } = setUp();
    const { socket } = await greet(tampered);
    expect(socket.closed).toBe(4402);
    expect(seen.incidents).toEqual([
      {
        kind: 'bad_signature',
        agentId: 'a1',
        address: ADDRESS,
        at: NOW,
        detail: { listener: 'ws', name: 'brunch', text: refusal('bad_signature', {}).message },
      },
    ]);
    expect(seen.log).toEqual([
      {
        level: 'info',
        text: refusal('bad_signature', {}).message,
        address: ADDRESS,
        agent: 'a1',
        code: 'bad_signature',
      },
    ]);
  });

  it.each([
    ['replayed_hello', true, { challenge: 'x'.repeat(32) }, {}],
    ['wrong_transport', true, { transport: 'wss' }, {}],
    ['binding_mismatch', true, { binding: 'Y'.repeat(43) }, {}],
    ['agent_key_mismatch', true, {}, { agent: { keyThumbprint: 'f'.repeat(64) } }],
    ['agent_revoked', true, {}, { agent: { revocation: { reason: 'keyCompromise' } } }],
    ['agent_unknown', false, {}, { agent: null }],
    ['agent_disabled', false, {}, { agent: { state: 'disabled' } }],
  ] as const)('%s is recorded as an incident: %s', async (code, isIncident, change, setting) => {
    const { greet, seen } = setUp(setting as Setting);
    const { socket } = await greet((challenge) => hello(challenge, change));
    expect(socket.sent[1]).toMatchObject({ code });
    expect([seen.incidents.length, seen.welcomed]).toEqual([isIncident ? 1 : 0, []]);
    expect(socket.sent[1]?.['retryAfterSeconds']).toBe(code === 'agent_disabled' ? 77 : null);
  });

  it('asks for a client certificate on wss alone', async () => {
    const { greet, seen } = setUp({ clientAuth: 'required' });
    const { socket } = await greet((challenge) => hello(challenge, { transport: 'wss' }), false, 'wss');
    expect([socket.closed, seen.incidents.length]).toEqual([4410, 1]);
    await greet(good);
    expect(seen.welcomed).toHaveLength(1);
  });

  it('for too many logins comes before the proof, counts proven hellos only, and is logged once a minute', async () => {
    const { greet, seen, clock } = setUp();
    for (let i = 0; i < 10; i += 1) await greet(tampered);
    expect(seen.incidents).toHaveLength(10);
    for (let i = 0; i < BURST; i += 1) await greet(good);
    expect(seen.welcomed).toHaveLength(BURST);
    seen.log.length = 0;
    for (const answer of [tampered, good]) {
      const { socket } = await greet(answer);
      expect(socket.sent[1]).toMatchObject({ code: 'agent_login_rate', retryAfterSeconds: 10 });
    }
    expect(seen.log.map(({ level, code }) => [level, code])).toEqual([
      ['info', 'agent_login_rate'],
      ['debug', 'agent_login_rate'],
    ]);
    expect([seen.welcomed.length, seen.incidents.length]).toEqual([BURST, 10]);
    clock.now += 10_000;
    await greet(good);
    expect(seen.welcomed).toHaveLength(BURST + 1);
  });

  it('of hellos that were proven at the same time says when to retry', async () => {
    const { connect, seen } = setUp();
    const all = Array.from({ length: BURST + 1 }, () => connect());
    for (const { socket } of all) socket.emit('message', good(socket.sent[0] as unknown as Challenge), false);
    await Promise.all(all.map(({ done }) => done));
    expect(seen.welcomed).toHaveLength(BURST);
    expect(all.at(-1)?.socket.sent[1]).toMatchObject({ code: 'agent_login_rate', retryAfterSeconds: 10 });
  });

  it('of a claim that another login has overtaken gives the claim up', async () => {
    const made: ReturnType<typeof setUp> = setUp({
      async lookUp() {
        for (let i = 0; i < BURST; i += 1) made.logins.take('a1');
        return AGENT;
      },
    });
    const { socket } = await made.greet(good);
    expect([made.seen.lookUps, made.seen.welcomed]).toEqual([['with the claim', 'given up'], []]);
    expect(socket.sent[1]).toMatchObject({ code: 'agent_login_rate', retryAfterSeconds: 10 });
  });

  it('of a disabled agent counts as a login', async () => {
    const { greet, seen } = setUp({ agent: { state: 'disabled' } });
    for (let i = 0; i <= BURST; i += 1) await greet(good);
    expect(seen.refused.slice(-2)).toMatchObject([{ code: 'agent_disabled' }, { code: 'agent_login_rate' }]);
  });

  it('of the sessions is passed on, with the time of a quarantine', async () => {
    const { greet, seen } = setUp({ welcome: async () => Promise.reject(refusal('quarantined', { seconds: 300 })) });
    const { socket } = await greet(good);
    expect(socket.sent[1]).toMatchObject({ code: 'quarantined', retryAfterSeconds: 300 });
    expect([socket.isPaused, seen.log[0]?.level]).toEqual([false, 'info']);
  });

  it('for a failure of Central says nothing of it to the agent, and everything to the log', async () => {
    const { greet, seen } = setUp({ lookUp: async () => Promise.reject(new Error('disk I/O error')) });
    const { socket } = await greet(good);
    expect(socket.sent[1]).toMatchObject({
      code: 'internal',
      detail: refusal('internal', {}).message,
      retryAfterSeconds: 2,
    });
    expect(JSON.stringify(socket.sent)).not.toContain('disk');
    expect(seen.log).toEqual([{ level: 'error', text: 'handshake failed', address: ADDRESS, error: 'disk I/O error' }]);
    expect(seen.refused).toEqual([{ code: 'internal', listener: 'ws', address: ADDRESS }]);
  });

  it('is not sent to a peer that left during its proof, which is not looked up either', async () => {
    const lookUp = vi.fn<() => Promise<never>>();
    const { connect, seen } = setUp({ lookUp });
    const { socket, done } = connect();
    socket.emit('message', good(socket.sent[0] as unknown as Challenge), false);
    socket.readyState = 3;
    await done;
    expect([lookUp.mock.calls, seen.refused, socket.sent.length]).toEqual([[], [], 1]);
    const wrong = connect();
    wrong.socket.emit('message', tampered(wrong.socket.sent[0] as unknown as Challenge), false);
    wrong.socket.readyState = 3;
    await wrong.done;
    expect([seen.incidents.length, wrong.socket.sent.length, wrong.socket.closed]).toEqual([1, 1, undefined]);
  });

  it('of a flood has a line for the first ones, and then the number of those without one', async () => {
    const { connect, seen, clock } = setUp({ blocked: refusal('ws_disabled', {}) });
    const flood = Array.from({ length: 60 }, () => connect());
    await Promise.all(flood.map(({ done }) => done));
    expect(seen.log.map(({ level }) => level)).toEqual([
      ...Array.from({ length: 50 }, () => 'info'),
      ...Array.from({ length: 10 }, () => 'debug'),
    ]);
    clock.now += 30_000;
    await connect().done;
    expect(seen.log.at(-1)).toMatchObject({ level: 'info', code: 'ws_disabled', refusalsNotLogged: 10 });
    expect(seen.log[0]).not.toHaveProperty('refusalsNotLogged');
  });
});

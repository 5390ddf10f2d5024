// How sessions are joined to the rest of Central: what the other parts see of an agent that comes, speaks and goes.
import { expect, it, onTestFinished, vi } from 'vitest';
import type { AgingClock } from '../../../central/aging-clock.ts';
import { Events, type CentralEvents } from '../../../central/events.ts';
import { createMetrics } from '../../../central/metrics.ts';
import { AddressAccess } from '../../../central/parameters/address-access.ts';
import { defaultValues, type ParameterValues } from '../../../central/parameters/definitions.ts';
import { openSessions } from '../../../central/sessions/open-sessions.ts';
import { NoteQueue } from '../../../central/store/nodes/note-queue.ts';
import type { ClaimedSession, ClaimTerms, SessionClaim } from '../../../central/store/agent-store.ts';
import { meetsTerms } from '../../../central/store/agents/claim-terms.ts';
import { withChecksum } from '../../../shared/wire/checksum.ts';
import { encodeMessages } from '../../../shared/wire/codec.ts';
import type { Challenge, Hello } from '../../../shared/wire/messages.ts';
import { AGENT, FakeSocket, fakeConnection, hello } from './fake-agent.ts';

const NOW = Date.UTC(2026, 10, 27);

interface Setting {
  readonly values?: Partial<ParameterValues>;
  readonly promoted?: boolean;
  readonly maxSessions?: number;
}

function setUp({ values = {}, promoted = false, maxSessions = 1_000 }: Setting = {}) {
  const seen = {
    happened: [] as string[],
    hubNotices: 0,
    listsTouched: 0,
    refused: [] as unknown[],
    signed: [] as string[],
    nodes: [] as unknown[],
  };
  const events = new Events<CentralEvents>();
  events.on('agentOnline', ({ facts }) => void seen.happened.push(`online ${facts.agentId}`));
  events.on('agentOffline', ({ agentId }) => void seen.happened.push(`offline ${agentId}`));
  events.on('agentControl', ({ facts }, { type }) => void seen.happened.push(`${type} of ${facts.agentId}`));
  const claim = ({ node }: Pick<SessionClaim, 'node'>): Partial<ClaimedSession> => {
    seen.nodes.push(node);
    const down = { incarnation: 'c', next: 1, missing: null };
    return { epoch: seen.nodes.length, key: 1, name: 'branch', up: null, begun: null, down, newest: 0, promoted };
  };
  const metrics = createMetrics();
  const opened = openSessions({
    config: { centralName: 'bank', nodeName: 'node-1' },
    nodes: { self: 'node-1', isDrained: () => false, list: () => [] },
    nodeNotes: new NoteQueue({ tell: undefined, log: { warn: () => undefined } }),
    store: {
      agents: {
        get: async () => AGENT,
        claimSession: claim,
        logIn: async (session: SessionClaim, terms: ClaimTerms) =>
          meetsTerms(AGENT, session, terms)
            ? { kind: 'claimed', claimed: claim(session), certificate: AGENT.certificate }
            : { kind: 'found', agent: AGENT },
        endSession: async () => undefined,
        recordRefusal: async () => undefined,
      },
      outbox: { read: async () => [] },
      inbox: { begin: async () => undefined, append: async (_agent: string, _epoch: number, next: number) => next },
    } as never,
    pki: {
      authority: { generations: () => [] },
      revocationLists: { touch: () => void (seen.listsTouched += 1) },
      sign: (transcript: string) => {
        seen.signed.push(transcript);
        return 'signature';
      },
    } as never,
    parameters: { values: () => ({ ...defaultValues(), 'websocket.enabled': true, ...values }) },
    incidents: { record: () => undefined } as never,
    refusals: { record: ({ code }, place) => void seen.refused.push({ code, ...place }) },
    hub: { notify: () => void (seen.hubNotices += 1) },
    events,
    metrics,
    descriptors: {
      sessions: maxSessions,
      handshakes: () => 100,
      limit: 4_096,
      onSessionsFull: () => undefined,
    } as never,
    log: { info: () => undefined, debug: () => undefined, warn: () => undefined } as never,
    now: () => NOW,
    aging: { now: () => NOW, steady: () => NOW, offsetMs: () => 0 } as AgingClock,
    maintenanceMode: { refusal: () => undefined },
    addressAccess: new AddressAccess(() => ({ ...defaultValues(), ...values })),
  });
  onTestFinished(async () => await opened.sessions.stop(0, 0));
  /** An agent that connects to ws from `address`; `terms`: what its listener and a proxy before it make of that. */
  const connect = async (
    address: string,
    terms: { listener?: 'ws' | 'wss'; peer?: string; scheme?: 'ws' | 'wss' } = {},
    change: Partial<Hello> = {},
  ) => {
    const { listener = 'ws', peer = address, scheme = listener } = terms;
    const socket = new FakeSocket();
    const done = opened.handshake.run({
      webSocket: socket.webSocket,
      connection: fakeConnection({ cork: () => undefined, uncork: () => undefined }),
      listener,
      origin: { address, peer, proxied: listener !== scheme || listener === 'wss', scheme },
      acceptedAt: performance.now(),
    });
    const challenge = socket.sent[0] as unknown as Challenge | undefined;
    if (challenge?.type === 'challenge')
      socket.emit('message', hello(challenge, { transport: scheme, ...change }), false);
    await done;
    return socket;
  };
  const counted = async (
    name: 'queuegate_sessions' | 'queuegate_refusals_total' | 'queuegate_messages_received_total',
  ) => (await metrics.instruments[name].get()).values.map(({ labels, value }) => [Object.values(labels).join(), value]);
  return { ...opened, seen, connect, counted };
}

it('an agent that is welcomed is online for the events, the metrics and the changes, and offline once it leaves', async () => {
  const { sessions, onlineAgents, seen, connect, counted } = setUp();
  const socket = await connect('192.0.2.7');
  expect(socket.sent[1]).toMatchObject({ type: 'welcome', signature: 'signature' });
  expect([seen.happened, seen.nodes, seen.signed.length]).toEqual([['online a1'], ['node-1'], 1]);
  expect(seen.signed[0]).toContain('"bank"');
  expect(await counted('queuegate_sessions')).toEqual([
    ['ws', 1],
    ['wss', 0],
  ]);
  expect(await onlineAgents.online()).toEqual([
    {
      agentId: 'a1',
      name: 'branch',
      listener: 'ws',
      transport: 'ws',
      address: '192.0.2.7',
      loopback: false,
      byKeyAlone: true,
      since: NOW,
    },
  ]);
  socket.emit('close', 1006, Buffer.alloc(0));
  expect([seen.happened, sessions.size]).toEqual([['online a1', 'offline a1'], 0]);
  expect([await counted('queuegate_sessions'), await counted('queuegate_refusals_total')]).toEqual([
    [
      ['ws', 0],
      ['wss', 0],
    ],
    [['closed', 1]],
  ]);
});

it('what Central ends counts by its code', async () => {
  const { sessions, connect, counted } = setUp();
  const socket = await connect('192.0.2.7');
  sessions.remove('a1');
  socket.emit('close', 1006, Buffer.alloc(0));
  expect(await counted('queuegate_refusals_total')).toEqual([['agent_deleted', 1]]);
});

it('messages wake those who wait for events, and count; other frames go to the parts that they are about', async () => {
  const { seen, connect, counted } = setUp();
  const socket = await connect('192.0.2.7');
  const receive = (text: string): void => void socket.emit('message', Buffer.from(withChecksum(text)), false);
  receive(JSON.stringify({ type: 'begin', incarnation: 'i'.repeat(22), next: 1, missing: null }));
  const event = JSON.stringify({ specversion: '1.0', id: '1', source: '/s', type: 't' });
  receive(encodeMessages(1, [event]));
  await vi.waitFor(() => expect(seen.hubNotices).toBe(1));
  expect(await counted('queuegate_messages_received_total')).toEqual([['', 1]]);
  receive(JSON.stringify({ type: 'consumers', position: null, inboxFull: false, consumers: [] }));
  await vi.waitFor(() => expect(seen.happened).toEqual(['online a1', 'consumers of a1']));
});

it('the first session with the next key of an agent publishes the revocation of the old one', async () => {
  const { seen, connect } = setUp({ promoted: true });
  await connect('192.0.2.7');
  expect(seen.listsTouched).toBe(1);
});

it('a refused agent counts by its code, and is recorded with its listener', async () => {
  const { seen, connect, counted, handshakeFailures } = setUp({ values: { 'websocket.enabled': false } });
  const socket = await connect('192.0.2.7');
  expect(socket.sent).toMatchObject([{ code: 'ws_disabled' }]);
  expect(await counted('queuegate_refusals_total')).toEqual([['ws_disabled', 1]]);
  expect(seen.refused).toEqual([{ code: 'ws_disabled', listener: 'ws', address: '192.0.2.7' }]);
  expect(handshakeFailures.list({})).toMatchObject([{ cause: 'ws_disabled', listener: 'ws', address: '192.0.2.7' }]);
});

it.each([
  ['agents.max', { values: { 'agents.max': 0 } }, 'places_full'],
  ['what the operating system allows', { maxSessions: 0 }, 'descriptors_full'],
  ['an agent without a certificate', { values: { 'agents.authentication': 'certificate' } }, 'authentication_kind'],
] as const)('the handshake follows %s', async (_, setting, code) => {
  const { seen, connect } = setUp(setting);
  await connect('192.0.2.7');
  expect(seen.refused).toMatchObject([{ code }]);
});

it.each([
  ['an encrypted connection', '192.0.2.7', { listener: 'wss' }, { transport: 'wss', loopback: false }, true],
  ['one from this host', '127.0.0.1', { listener: 'ws' }, { transport: 'ws', loopback: true }, false],
  [
    'TLS that ends at a proxy on this host',
    '192.0.2.7',
    { listener: 'ws', peer: '127.0.0.1', scheme: 'wss' },
    { transport: 'wss', loopback: false },
    true,
  ],
  [
    'TLS that ends at a proxy elsewhere, which goes on unencrypted',
    '192.0.2.7',
    { listener: 'ws', peer: '192.0.2.99', scheme: 'wss' },
    { transport: 'ws', loopback: false },
    true,
  ],
] as const)('a change sees %s as what it is', async (_, address, terms, expected, isOverTls) => {
  const { onlineAgents, agentsOverTls, connect } = setUp();
  await connect(address, terms);
  expect(await onlineAgents.online()).toMatchObject([expected]);
  expect((await agentsOverTls.online()).length).toBe(isOverTls ? 1 : 0);
});

// What one connection of the agent says and takes at each step, what it hands on, and how it ends; Central is the
// test's own.
import { createServer, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { readFileSync } from 'node:fs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { WebSocket } from 'ws';
import type { DialPlan } from '../../../agent/connection/connection.ts';
import { NO_CONTROL, type Control } from '../../../agent/connection/control.ts';
import { agentFault } from '../../../agent/errors.ts';
import { storeFault } from '../../../central/store/errors.ts';
import { hasChecksum, withChecksum } from '../../../shared/wire/checksum.ts';
import { refusal } from '../../../shared/wire/refusals.ts';
import { channelBinding, helloTranscript, readPublicKey, verifyTranscript } from '../../../shared/wire/proof.ts';
import { LIMITS, type Hello } from '../../../shared/wire/messages.ts';
import {
  agent,
  CHALLENGE,
  codeOf,
  dial,
  falseCentral,
  Inbox,
  KEYSTORES,
  listening,
  PATIENT,
  welcome,
} from './false-central.ts';

const THUMBPRINT = 'a'.repeat(64);
const WSS: Partial<DialPlan> = { ca: [readFileSync(`${KEYSTORES}/root-ec.crt`, 'utf8')] };
const secure = (port: number) => ({ target: { secure: true, host: 'localhost', port }, ...WSS });
const welcomes = (socket: WebSocket, hello: Hello): void => socket.send(JSON.stringify(welcome(hello)));

/** What a connection hands to the parts for certificates, trust and releases. */
function heard(capabilities: readonly string[] = []) {
  const calls: unknown[][] = [];
  const control: Control = {
    capabilities,
    onOnline: (send, line) => void calls.push(['online', send, line]),
    onFrame: (frame) => void calls.push(['frame', frame.type]),
    onStream: (stream) => void calls.push(['stream', stream.id]),
    onOffline: () => void calls.push(['offline']),
  };
  return { calls, control };
}

describe('the hello', () => {
  it('answers the challenge, names the agent and what it can, and has a checksum on ws', async () => {
    const { promise, resolve } = Promise.withResolvers<Buffer>();
    const port = await falseCentral((_socket, _hello, text) => resolve(text));
    const down = { incarnation: 'i'.repeat(22), number: 7, id: 'm7' };
    const inbox = new Inbox(async () => down);
    dial(port, { release: THUMBPRINT }, heard(['renewal', 'trust']).control, { inbox });
    const text = await promise;
    const hello = JSON.parse(text.toString()) as Hello;
    expect(hello).toMatchObject({
      type: 'hello',
      id: 'a1',
      name: 'branch',
      key: agent.publicKey,
      version: '0.1.0',
      bootId: 'b'.repeat(32),
      challenge: CHALLENGE.nonce,
      transport: 'ws',
      binding: null,
      releases: { profile: THUMBPRINT, runtime: null, program: null },
      capabilities: ['renewal', 'trust'],
      logs: { down },
    });
    expect(Buffer.from(hello.nonce, 'base64url')).toHaveLength(24);
    expect(hasChecksum(text)).toBe(true);
    const key = readPublicKey(agent.publicKey);
    expect(key !== undefined && verifyTranscript(helloTranscript(CHALLENGE, hello), hello.signature, key)).toBe(true);
  });

  it.each([
    ['is bound to its TLS connection', false],
    ['is bound to nothing where TLS ends at a proxy', true],
  ])('%s', async (_, proxied) => {
    const seen = Promise.withResolvers<{ hello: Hello; isSummed: boolean }>();
    let binding: string | undefined;
    const port = await falseCentral((_socket, hello, text) => seen.resolve({ hello, isSummed: hasChecksum(text) }), {
      secure: true,
      onCarrier: (carrier) => (binding = carrier instanceof TLSSocket ? channelBinding(carrier) : undefined),
    });
    dial(port, { ...secure(port), proxied });
    const { hello, isSummed } = await seen.promise;
    expect(hello).toMatchObject({ transport: 'wss', binding: proxied ? null : binding });
    expect([isSummed, Buffer.from(binding ?? '', 'base64url').length]).toEqual([false, 32]);
  });

  it('is not sent when the agent cannot read where it is: it ends with that fault, or names what failed', async () => {
    const port = await falseCentral(() => expect.unreachable());
    const failing = (error: Error) => ({
      inbox: new Inbox(async () => {
        throw error;
      }),
    });
    expect(
      await codeOf(
        dial(port, {}, NO_CONTROL, failing(storeFault('store_reserve', { available: 1, reserve: 2 }))).ended,
      ),
    ).toMatchObject({
      code: 'store_reserve',
    });
    const { reason } = await dial(port, {}, NO_CONTROL, failing(new Error('EIO'))).ended;
    expect(reason).toMatchObject({ code: 'closed', message: expect.stringContaining('EIO') });
  });
});

describe('before the welcome', () => {
  const send = (frame: object | string) => (socket: WebSocket) =>
    socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  it.each([
    ['a second challenge', CHALLENGE, 'a second challenge'],
    [
      'a frame of a session',
      { type: 'begin', incarnation: 'i'.repeat(22), next: 1, missing: null },
      'begin before the welcome',
    ],
    ['a frame that breaks its schema', { type: 'challenge' }, undefined],
  ])('%s ends the connection', async (_, frame, found) => {
    const port = await falseCentral(send(frame));
    const { reason } = await dial(port).ended;
    expect(reason).toMatchObject({
      code: 'bad_frame',
      ...(found === undefined ? {} : { message: `Invalid frame: ${found}.` }),
    });
  });

  it('a welcome without a challenge is refused, and the code says so to Central', async () => {
    const closed = Promise.withResolvers<unknown[]>();
    const port = await falseCentral(() => undefined, {
      greet(socket) {
        socket.on('close', (code: number, text: Buffer) => closed.resolve([code, text.toString()]));
        welcomes(socket, { nonce: 'n'.repeat(32), id: 'a1', bootId: 'b'.repeat(32) } as Hello);
      },
    });
    const { reason } = await dial(port).ended;
    expect(reason.message).toBe('Invalid frame: a welcome that nothing asked for.');
    expect(await closed.promise).toEqual([4510, 'bad_frame']);
  });

  it('a binary frame ends it, as does a wrong checksum; a frame of an unknown type is ignored', async () => {
    const binary = await falseCentral(() => undefined, { greet: (socket) => socket.send(Buffer.from('{}')) });
    expect((await dial(binary).ended).reason.message).toBe('Invalid frame: a binary frame, and no stream is open.');
    const wrong = withChecksum(JSON.stringify(CHALLENGE)).replace('bank', 'bonk');
    const damaged = await falseCentral(() => expect.unreachable(), { greet: (socket) => socket.send(wrong) });
    expect(await codeOf(dial(damaged).ended)).toMatchObject({ code: 'frame_checksum', terminal: false });
    const port = await falseCentral(welcomes, {
      greet(socket) {
        socket.send('{"type":"howdy"}');
        socket.send(withChecksum(JSON.stringify(CHALLENGE)));
      },
    });
    const { sessions } = dial(port);
    await vi.waitFor(() => expect(sessions).toHaveLength(1), PATIENT);
  });

  it('a drain and a close say when to dial again', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
    onTestFinished(() => void vi.restoreAllMocks());
    const port = await falseCentral((socket) => {
      socket.send(JSON.stringify({ type: 'drain', retryAfterSeconds: 3, spreadSeconds: 10 }));
      socket.close(4500, 'going_away');
    });
    expect(await dial(port).ended).toMatchObject({
      reason: { code: 'closed', message: expect.stringContaining('close code 4500 going_away') },
      terminal: false,
      retryAfterMs: 8_000,
      onlineMs: 0,
    });
  });

  it.each([
    ['an HTTP answer 503', 503, '7', { retryAfterMs: 7_000, isThrottled: true }],
    ['an HTTP answer 429', 429, '120', { retryAfterMs: 120_000, isThrottled: true }],
    ['one with a date', 503, 'Fri, 27 Nov 2026 00:00:00 GMT', { retryAfterMs: 0, isThrottled: true }],
    ['one with too long a time', 503, '12345', { retryAfterMs: 0, isThrottled: true }],
    ['one without a time', 503, undefined, { retryAfterMs: 0, isThrottled: true }],
    ['another HTTP answer', 404, '7', { retryAfterMs: 0 }],
  ])('%s says how busy Central, or a proxy, is', async (_, status, retryAfter, expected) => {
    const port = await upgrading((response) =>
      response.writeHead(status, retryAfter === undefined ? {} : { 'retry-after': retryAfter }).end('No.'),
    );
    const { reason: _reason, ...end } = await dial(port).ended;
    expect(end).toEqual({ terminal: false, onlineMs: 0, ...expected });
  });

  it('a wrong upgrade is not a Central', async () => {
    const server = createTcpServer((socket: Socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () =>
        socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n',
        ),
      );
    });
    const { reason } = await dial(await listening(server)).ended;
    expect(reason).toMatchObject({ code: 'no_central', message: expect.stringContaining('with a wrong upgrade (') });
  });

  it('silence ends it after fifteen seconds', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const connected = Promise.withResolvers<void>();
    const port = await listening(
      createTcpServer((socket: Socket) => {
        socket.on('error', () => undefined);
        socket.once('data', () => connected.resolve());
        onTestFinished(() => void socket.destroy());
      }),
    );
    const { ended } = dial(port);
    await connected.promise;
    await vi.advanceTimersByTimeAsync(14_999);
    const over = vi.fn<() => void>();
    void ended.then(over);
    await Promise.resolve();
    expect(over).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect((await ended).reason).toMatchObject({
      code: 'connect_timeout',
      message: expect.stringContaining('did not answer within 15 seconds'),
    });
  });
});

describe('a session', () => {
  it('is described by its welcome, and handed to the parts with the line it is on', async () => {
    const order: string[] = [];
    const startedAt = performance.now();
    const { calls, control } = heard();
    const port = await falseCentral(welcomes);
    const { sessions, abort, ended } = dial(port, {}, control, { onWelcome: () => void order.push('welcome') });
    await vi.waitFor(() => expect(calls).toHaveLength(1), PATIENT);
    expect([order, sessions]).toEqual([
      ['welcome'],
      [
        {
          sessionId: 's1',
          epoch: 1,
          time: 1_790_000_000_000,
          centralName: 'bank',
          target: { secure: false, host: '127.0.0.1', port },
          heartbeatSeconds: 60,
          maxMessageBytes: LIMITS.maxMessageBytes,
          notify: expect.any(Function) as unknown,
          hold: expect.any(Function) as unknown,
        },
      ],
    ]);
    const line = calls[0]?.[2] as { key: unknown; time: number; shown(): unknown };
    expect([line.key, line.time, line.shown()]).toEqual([agent, 1_790_000_000_000, []]);
    abort.abort();
    const { onlineMs } = await ended;
    expect([onlineMs > 0, onlineMs < performance.now() - startedAt]).toEqual([true, true]);
    expect(calls.slice(1)).toEqual([['offline']]);
  });

  it('on wss shows the chain of Central, of the handshake and of now', async () => {
    const { calls, control } = heard();
    const port = await falseCentral(welcomes, { secure: true });
    dial(port, secure(port), control);
    await vi.waitFor(() => expect(calls).toHaveLength(1), PATIENT);
    const line = calls[0]?.[2] as { shown(): { subject: string }[]; shownNow(): Promise<{ subject: string }[]> };
    const subjects = [line.shown()[0]?.subject, (await line.shownNow())[0]?.subject];
    expect(subjects).toEqual([expect.stringContaining('central'), subjects[0]]);
  });

  it('hands control frames on, and sends theirs', async () => {
    const { calls, control } = heard();
    const said: string[] = [];
    const port = await falseCentral((socket, hello) => {
      socket.on('message', (data: Buffer) => said.push((JSON.parse(data.toString()) as Hello).type));
      welcomes(socket, hello);
      for (const frame of [
        { type: 'renewed', pem: 'x'.repeat(64) },
        { type: 'renew-refused', code: 'x', detail: '', hint: '' },
        { type: 'renew-now', spreadSeconds: 1 },
        { type: 'expired-recorded', through: 1 },
        { type: 'release-cancel', kind: 'profile', generation: 1 },
      ])
        socket.send(JSON.stringify(frame));
    });
    dial(port, {}, control);
    await vi.waitFor(() => expect(calls).toHaveLength(6), PATIENT);
    expect(calls.slice(1).map(([, type]) => type)).toEqual([
      'renewed',
      'renew-refused',
      'renew-now',
      'expired-recorded',
      'release-cancel',
    ]);
    const send = calls[0]?.[1] as (frame: object) => void;
    send({ type: 'trusted', thumbprints: [] });
    await vi.waitFor(() => expect(said).toContain('trusted'), PATIENT);
    // The log of events has begun.
    expect(said).toContain('begin');
  });

  it.each([['welcome'], ['challenge']])('ends at a second %s', async (type) => {
    const port = await falseCentral((socket, hello) => {
      welcomes(socket, hello);
      socket.send(JSON.stringify(type === 'welcome' ? welcome(hello) : CHALLENGE));
    });
    expect((await dial(port).ended).reason.message).toBe(`Invalid frame: a second ${type}.`);
  });

  it('reads its outbox when events were appended, and holds commands back', async () => {
    const said: string[] = [];
    const port = await falseCentral((socket, hello) => {
      socket.on('message', (data: Buffer) => said.push((JSON.parse(data.toString()) as Hello).type));
      welcomes(socket, hello);
    });
    const { sessions, outbox } = dial(port);
    await vi.waitFor(() => expect(said).toContain('begin'), PATIENT);
    const before = outbox.reads.length;
    sessions[0]?.notify();
    await vi.waitFor(() => expect(outbox.reads.length).toBeGreaterThan(before), PATIENT);
    sessions[0]?.hold(true);
    sessions[0]?.hold(false);
    await vi.waitFor(() => expect(said.slice(-2)).toEqual(['pause', 'resume']), PATIENT);
  });
});

describe('the end', () => {
  it.each([
    ['the line', (socket: WebSocket) => socket.terminate(), 'the line was cut', false],
    ['a close with a word', (socket: WebSocket) => socket.close(1001, 'bye'), 'close code 1001 bye', false],
    ['a close without one', (socket: WebSocket) => socket.close(1000), 'close code 1000', false],
    [
      'a terminal code without a refusal',
      (socket: WebSocket) => socket.close(4409, 'agent_deleted'),
      'close code 4409 agent_deleted',
      true,
    ],
  ])('by %s says so', async (_, act, found, terminal) => {
    const port = await falseCentral((socket) => act(socket));
    const end = await dial(port).ended;
    expect(end).toMatchObject({ terminal, retryAfterMs: 0, onlineMs: 0 });
    expect(end.reason).toMatchObject({
      code: 'closed',
      message: `The connection to ws://127.0.0.1:${port} ended: ${found}.`,
    });
  });

  it('by a refusal in the middle of a session has its time, and when to come again', async () => {
    const port = await falseCentral((socket, hello) => {
      welcomes(socket, hello);
      socket.send(
        JSON.stringify({ type: 'refuse', code: 'agent_revoked', detail: 'No.', hint: '', retryAfterSeconds: null }),
      );
      socket.close(4412, 'agent_revoked');
    });
    const end = await dial(port).ended;
    expect(end).toMatchObject({ refusedWith: 'agent_revoked', terminal: true, retryAfterMs: 0 });
    expect(end.onlineMs).toBeGreaterThan(0);
  });

  it('by this side is a normal close for Central, and has the reason of this side', async () => {
    const closed = Promise.withResolvers<number>();
    const port = await falseCentral((socket, hello) => {
      socket.on('close', (status: number) => closed.resolve(status));
      welcomes(socket, hello);
    });
    const { sessions, abort, ended } = dial(port);
    await vi.waitFor(() => expect(sessions).toHaveLength(1), PATIENT);
    abort.abort(agentFault('next_key', {}));
    expect([(await ended).reason.code, await closed.promise]).toEqual(['next_key', 1000]);
  });

  it('by this side comes at once while it dials, and before it dials', async () => {
    const port = await falseCentral(() => expect.unreachable());
    const { abort, ended } = dial(port);
    abort.abort();
    expect(await codeOf(ended)).toMatchObject({ code: 'stopped' });
    const before = new AbortController();
    before.abort();
    expect(await codeOf(dial(port, {}, NO_CONTROL, {}, before).ended)).toMatchObject({ code: 'stopped' });
  });

  it('for good, as this side sees it, is said with its code', async () => {
    const closed = Promise.withResolvers<number>();
    const port = await falseCentral((socket, hello) => {
      socket.on('close', (status: number) => closed.resolve(status));
      welcomes(socket, hello);
    });
    const { sessions, abort, ended } = dial(port);
    await vi.waitFor(() => expect(sessions).toHaveLength(1), PATIENT);
    abort.abort(refusal('agent_deleted', {}));
    expect([(await ended).terminal, await closed.promise]).toEqual([true, 4409]);
  });

  it('before the welcome ends no session for the parts', async () => {
    const { calls, control } = heard();
    const port = await falseCentral((socket) => socket.close(4503, 'busy'));
    await dial(port, {}, control).ended;
    expect(calls).toEqual([]);
  });

  it('by an unproven Central is said to it with the code', async () => {
    const closed = Promise.withResolvers<unknown[]>();
    const port = await falseCentral((socket, hello) => {
      socket.on('close', (code: number, text: Buffer) => closed.resolve([code, text.toString()]));
      socket.send(JSON.stringify({ ...welcome(hello), epoch: 2 }));
    });
    dial(port);
    expect(await closed.promise).toEqual([4512, 'unproven_central']);
  });

  it('by a frame that breaks RFC 6455 names it', async () => {
    const port = await falseCentral((socket) => {
      // A reserved bit (section 5.2).
      (socket as unknown as { _socket: Socket })._socket.write(Buffer.from([0xf1, 0]));
    });
    const { reason } = await dial(port).ended;
    expect(reason).toMatchObject({ code: 'closed', message: expect.stringContaining('RSV') });
  });

  it('names whose certificate was refused', async () => {
    const port = await falseCentral(() => expect.unreachable(), { secure: true });
    const ca = [readFileSync(`${KEYSTORES}/root-rsa.crt`, 'utf8')];
    const { reason } = await dial(port, { ...secure(port), ca }).ended;
    expect(reason.code).toBe('tls_unknown_authority');
    expect(reason.message).toMatch(/is signed by "[^"]+", /);
  });
});

/** A server that answers the upgrade with an HTTP answer. */
async function upgrading(answer: (response: ServerResponse) => void): Promise<number> {
  const server = createServer((_request, response) => answer(response));
  return await listening(server);
}

// A connection with another configuration beside the session of an agent: it takes over with its welcome, and touches
// nothing before.
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { NO_CONTROL } from '../../../agent/connection/control.ts';
import { Takeover } from '../../../agent/connection/takeover.ts';
import type { DialPlan, OnlineSession } from '../../../agent/connection/connection.ts';
import { agentFault } from '../../../agent/errors.ts';
import type { Hello } from '../../../shared/wire/messages.ts';
import { MemoryOutbox } from '../../shared/delivery/session-logs.ts';
import { falseCentral, Inbox, PATIENT, planFor, welcome } from './false-central.ts';

const welcomes = (socket: WebSocket, hello: Hello): void => socket.send(JSON.stringify(welcome(hello)));
const refuses = (socket: WebSocket): void => {
  socket.send(
    JSON.stringify({ type: 'refuse', code: 'agent_unknown', detail: 'No.', hint: '', retryAfterSeconds: null }),
  );
  socket.close(4401, 'agent_unknown');
};

function setUp() {
  const online: { session: OnlineSession; plan: DialPlan }[] = [];
  const takeover = new Takeover({
    outbox: new MemoryOutbox(),
    inbox: new Inbox(),
    control: NO_CONTROL,
    now: Date.now,
    onOnline: (session, plan) => void online.push({ session, plan }),
  });
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  /** The loop's connection to that port, once it is online. */
  const run = async (port: number) => {
    const ended = takeover.run(planFor(port, { name: 'old' }), stop.signal);
    await vi.waitFor(() => expect(takeover.live?.plan.name).toBe('old'), PATIENT);
    return { ended };
  };
  return { takeover, online, stop, run };
}

afterEach(() => void vi.restoreAllMocks());

describe('a connection beside the session', () => {
  it('is not made where there is no session', () => {
    const { takeover } = setUp();
    expect([takeover.attempt(planFor(1), new AbortController().signal), takeover.live]).toEqual([undefined, undefined]);
  });

  it('takes over with its welcome: the old one ends, and the loop lives on with the new one', async () => {
    const { takeover, online, run, stop } = setUp();
    const said: string[] = [];
    const { ended } = await run(
      await falseCentral((socket, hello) => {
        socket.on('close', (code: number) => said.push(`old closed ${code}`));
        welcomes(socket, hello);
      }),
    );
    const attempt = takeover.attempt(planFor(await falseCentral(welcomes), { name: 'new' }), stop.signal);
    expect(await attempt?.welcomed).toBe(true);
    await vi.waitFor(() => expect(takeover.live?.plan.name).toBe('new'), PATIENT);
    await vi.waitFor(() => expect(said).toEqual(['old closed 1000']), PATIENT);
    expect(online.map(({ plan }) => plan.name)).toEqual(['old', 'new']);
    // What ends now is the new session.
    takeover.end(agentFault('next_key', {}));
    expect((await ended).reason.code).toBe('next_key');
    expect((await attempt?.ended)?.reason.code).toBe('next_key');
    expect(takeover.live).toBeUndefined();
  });

  it('that is refused leaves the session as it was: its commands were held back, and go on', async () => {
    const { takeover, run, stop } = setUp();
    const said: string[] = [];
    const { ended } = await run(
      await falseCentral((socket, hello) => {
        socket.on('message', (data: Buffer) => said.push((JSON.parse(data.toString()) as Hello).type));
        welcomes(socket, hello);
        socket.send(JSON.stringify({ type: 'begin', incarnation: 'i'.repeat(22), next: 1, missing: null }));
      }),
    );
    await vi.waitFor(() => expect(said).toContain('begin'), PATIENT);
    const attempt = takeover.attempt(planFor(await falseCentral(refuses), { name: 'new' }), stop.signal);
    expect(await attempt?.welcomed).toBe(false);
    expect(await attempt?.ended).toMatchObject({ refusedWith: 'agent_unknown', terminal: true });
    expect(takeover.live?.plan.name).toBe('old');
    await vi.waitFor(() => expect(said.slice(-2)).toEqual(['pause', 'resume']), PATIENT);
    // The loop does not wait for an attempt that is over.
    takeover.end(agentFault('next_key', {}));
    expect((await ended).reason.code).toBe('next_key');
  });

  it('can be ended by the one who began it, without the session', async () => {
    const { takeover, run, stop } = setUp();
    await run(await falseCentral(welcomes));
    const silent = await falseCentral(() => undefined);
    const attempt = takeover.attempt(planFor(silent, { name: 'new' }), stop.signal);
    attempt?.end(agentFault('trial_ended', {}));
    expect([await attempt?.welcomed, (await attempt?.ended)?.reason.code]).toEqual([false, 'trial_ended']);
    expect(takeover.live?.plan.name).toBe('old');
  });

  it('takes over where Central has ended the old session before the welcome arrived', async () => {
    const { takeover, run, stop } = setUp();
    let old: WebSocket | undefined;
    const { ended } = await run(
      await falseCentral((socket, hello) => {
        old = socket;
        welcomes(socket, hello);
      }),
    );
    const port = await falseCentral((socket, hello) => {
      old?.once('close', () => welcomes(socket, hello));
      old?.close(4501, 'superseded');
    });
    const attempt = takeover.attempt(planFor(port, { name: 'new' }), stop.signal);
    expect(await attempt?.welcomed).toBe(true);
    let isOver = false;
    void ended.then(() => (isOver = true));
    await vi.waitFor(() => expect(takeover.live?.plan.name).toBe('new'), PATIENT);
    expect(isOver).toBe(false);
    stop.abort();
    expect((await ended).reason.code).toBe('stopped');
  });
});

it('the end of a connection without an attempt is the end of the run', async () => {
  const { takeover, run, stop } = setUp();
  const { ended } = await run(await falseCentral(welcomes));
  stop.abort();
  expect((await ended).reason.code).toBe('stopped');
  expect(takeover.live).toBeUndefined();
});

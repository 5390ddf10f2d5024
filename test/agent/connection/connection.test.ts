// One connection of the agent against Centrals of the test's own, which may be false ones.
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import { connectOnce, type ConnectionEnd, type DialPlan } from '../../../agent/connection/connection.ts';
import {
  keyThumbprint,
  readPublicKey,
  signTranscript,
  trustTranscript,
  welcomeTranscript,
} from '../../../shared/wire/proof.ts';
import { LIMITS, SUBPROTOCOL, type Hello, type Welcome } from '../../../shared/wire/messages.ts';
import { HeldInbox, MemoryOutbox } from '../../shared/delivery/session-logs.ts';
import { NO_CONTROL, type Control } from '../../../agent/connection/control.ts';

const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const act of cleanup.splice(0)) act();
});

const keystores = 'test/fixtures/keystores';

function keyPair(privateKey = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey) {
  const publicKey = createPublicKey(privateKey);
  const spki = publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
  const read = readPublicKey(spki);
  return {
    privateKey,
    pem: privateKey.export({ format: 'pem', type: 'pkcs8' }),
    publicKey: spki,
    thumbprint: read === undefined ? '' : keyThumbprint(read),
  };
}

const central = keyPair();
// An agent shows the certificate of its key, should it be asked for one.
const agent = keyPair(createPrivateKey(readFileSync(`${keystores}/central.key`)));

class Inbox extends HeldInbox {
  async position(): Promise<null> {
    return null;
  }
}

/** Dials ws on the port with a plan that may be changed. */
function dial(port: number, change: Partial<DialPlan> = {}, control: Control = NO_CONTROL) {
  const outbox = new MemoryOutbox();
  const abort = new AbortController();
  const online: string[] = [];
  const times: number[] = [];
  const plan: DialPlan = {
    target: { secure: false, host: '127.0.0.1', port },
    ca: [],
    truststore: 'conf/security/truststore.jks',
    key: agent,
    identity: {
      id: 'a1',
      name: 'branch',
      central: 'bank',
      signingKey: central.publicKey,
      certificate: readFileSync(`${keystores}/central.crt`, 'utf8'),
      host: '127.0.0.1',
      port,
      secure: false,
    },
    name: 'branch',
    version: '0.1.0',
    bootId: 'b'.repeat(32),
    proxied: false,
    release: null,
    ...change,
  };
  const inbox = new Inbox();
  const ended = connectOnce(
    plan,
    {
      outbox,
      inbox,
      now: Date.now,
      control,
      onOnline({ sessionId, time }): void {
        online.push(sessionId);
        times.push(time);
      },
    },
    abort.signal,
  );
  cleanup.push(() => abort.abort());
  return { outbox, inbox, online, times, ended, abort };
}

/** A Central that answers a hello as `answer` says. */
async function falseCentral(answer: (socket: WebSocket, hello: Hello) => void): Promise<number> {
  const server = createServer();
  const webSockets = new WebSocketServer({ server, handleProtocols: () => SUBPROTOCOL });
  webSockets.on('connection', (socket) => {
    socket.on('error', () => undefined);
    socket.once('message', (data: Buffer) => answer(socket, JSON.parse(data.toString()) as Hello));
    socket.send(
      JSON.stringify({
        type: 'challenge',
        nonce: 'c'.repeat(32),
        centralName: 'bank',
        sentAt: new Date().toISOString(),
      }),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.push(() => {
    for (const socket of webSockets.clients) socket.terminate();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** `said`: what Central says beside what it has signed. */
function welcome(hello: Hello, key = central, said: Partial<Welcome> = {}): Welcome {
  const unsigned: Omit<Welcome, 'signature'> = {
    type: 'welcome',
    sessionId: 's1',
    time: 1_790_000_000_000,
    epoch: 1,
    heartbeatSeconds: 60,
    limits: { ...LIMITS },
    logs: { up: null },
  };
  return {
    ...unsigned,
    ...said,
    signature: sign('sha256', Buffer.from(welcomeTranscript(hello, 'bank', unsigned)), key.privateKey).toString(
      'base64',
    ),
  };
}

async function codeOf(
  ended: Promise<ConnectionEnd>,
): Promise<{ code: string; terminal: boolean; retryAfterMs: number }> {
  const { reason, terminal, retryAfterMs } = await ended;
  return { code: reason.code, terminal, retryAfterMs };
}

describe('an agent that dials', () => {
  it('takes a welcome that is signed by the Central it enrolled with', async () => {
    const port = await falseCentral((socket, hello) => socket.send(JSON.stringify(welcome(hello))));
    const { online, outbox, abort, ended } = dial(port);
    while (online.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(online).toEqual(['s1']);
    expect(outbox.reads.length).toBeLessThanOrEqual(1);
    abort.abort();
    expect(await codeOf(ended)).toMatchObject({ code: 'stopped' });
  });

  it('refuses a welcome whose time was changed on the line, and learns the time of one that is right', async () => {
    let said: Partial<Welcome> = { time: 1_790_000_000_001 };
    const port = await falseCentral((socket, hello) => socket.send(JSON.stringify(welcome(hello, central, said))));
    const { online, ended } = dial(port);
    expect(await codeOf(ended)).toMatchObject({ code: 'unproven_central' });
    expect(online).toEqual([]);
    said = {};
    const next = dial(port);
    while (next.times.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(next.times).toEqual([1_790_000_000_000]);
  });

  it('refuses a welcome that is signed by another key: it sends no event, takes no command, and dials again slowly', async () => {
    const frames: string[] = [];
    const port = await falseCentral((socket, hello) => {
      socket.on('message', (data: Buffer) => frames.push(data.toString()));
      socket.send(JSON.stringify(welcome(hello, keyPair())));
      socket.send(JSON.stringify({ type: 'begin', incarnation: 'x', next: 1, missing: null }));
      socket.send(
        JSON.stringify({
          type: 'messages',
          first: 1,
          items: [{ specversion: '1.0', id: 'evil', source: '/s', type: 't' }],
        }),
      );
    });
    const { online, inbox, ended } = dial(port);
    expect(await codeOf(ended)).toEqual({ code: 'unproven_central', terminal: false, retryAfterMs: 60_000 });
    expect(online).toEqual([]);
    expect(frames).toEqual([]);
    expect(inbox.stored).toEqual([]);
  });

  it('refuses a recorded welcome, which answers another hello', async () => {
    let recorded: Welcome | undefined;
    const port = await falseCentral((socket, hello) => {
      recorded ??= welcome({ ...hello, nonce: 'x'.repeat(32) });
      socket.send(JSON.stringify(recorded));
    });
    expect(await codeOf(dial(port).ended)).toMatchObject({ code: 'unproven_central' });
  });

  it('believes what it is to trust only if Central signed it for this session', async () => {
    const certificates = readFileSync(`${keystores}/root-ec.crt`, 'utf8');
    const signed = (session: string, key = central): string =>
      signTranscript(trustTranscript(session, certificates), key.privateKey);
    const afterTrust = async (
      frame: object,
      before: readonly string[] = [],
    ): Promise<{ taken: number; code: string }> => {
      let taken = 0;
      const port = await falseCentral((socket, hello) => {
        for (const text of before) socket.send(text);
        socket.send(JSON.stringify(welcome(hello)));
        socket.send(JSON.stringify({ type: 'trust', ...frame }));
      });
      const { ended, abort } = dial(
        port,
        {},
        { ...NO_CONTROL, capabilities: ['trust'], onFrame: () => (abort.abort(), (taken += 1), undefined) },
      );
      return { taken: await ended.then(() => taken), code: (await ended).reason.code };
    };
    expect(await afterTrust({ pem: certificates, signature: signed('s1') })).toEqual({ taken: 1, code: 'stopped' });
    expect(await afterTrust({ pem: certificates, signature: signed('s1', keyPair()) })).toEqual({
      taken: 0,
      code: 'unproven_central',
    });
    expect(await afterTrust({ pem: certificates, signature: signed('another session') })).toEqual({
      taken: 0,
      code: 'unproven_central',
    });
    expect(await afterTrust({ pem: `${certificates}\n${certificates}`, signature: signed('s1') })).toEqual({
      taken: 0,
      code: 'unproven_central',
    });
    expect(await afterTrust({ pem: certificates })).toEqual({ taken: 0, code: 'bad_frame' });
    const early = JSON.stringify({ type: 'trust', pem: certificates, signature: signed('s1') });
    expect(await afterTrust({ pem: certificates, signature: signed('s1') }, [early])).toEqual({
      taken: 0,
      code: 'bad_frame',
    });
  });

  it('takes no command before the welcome', async () => {
    const port = await falseCentral((socket) => socket.send(JSON.stringify({ type: 'messages', first: 1, items: [] })));
    expect(await codeOf(dial(port).ended)).toMatchObject({ code: 'bad_frame' });
  });

  it('says what Central said, and stops dialling only for a terminal code', async () => {
    const refuse = (close: number, code: string) => (socket: WebSocket) => {
      socket.send(JSON.stringify({ type: 'refuse', code, detail: 'No.', hint: 'Do this.', retryAfterSeconds: 7 }));
      socket.close(close, code);
    };
    const terminal = await dial(await falseCentral(refuse(4401, 'agent_unknown'))).ended;
    expect(terminal).toMatchObject({
      terminal: true,
      reason: { code: 'refused', message: 'Central refused: No. (agent_unknown)', hint: 'Do this.' },
    });
    expect(await dial(await falseCentral(refuse(4503, 'busy'))).ended).toMatchObject({
      terminal: false,
      retryAfterMs: 7000,
    });
  });

  it('sends nothing to a Central whose certificate does not verify', async () => {
    let received = 0;
    const server = createTlsServer(
      { key: readFileSync(`${keystores}/central.key`), cert: readFileSync(`${keystores}/central.crt`) },
      (socket) => {
        socket.on('data', (chunk: Buffer) => (received += chunk.length));
        socket.on('error', () => undefined);
      },
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanup.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const secure = { secure: true, host: 'localhost', port };
    expect(
      await codeOf(dial(port, { target: secure, ca: [readFileSync(`${keystores}/root-rsa.crt`, 'utf8')] }).ended),
    ).toMatchObject({ code: 'tls_unknown_authority', terminal: false });
    expect(
      await codeOf(
        dial(port, { target: { ...secure, host: '127.0.0.2' }, ca: [readFileSync(`${keystores}/root-ec.crt`, 'utf8')] })
          .ended,
      ),
    ).toMatchObject({ code: expect.stringMatching(/tls_wrong_name|connection_refused/) as string });
    expect(received).toBe(0);
  });

  it('names a port that does not speak TLS, one that does, and something that is not Central', async () => {
    const plain = createServer((_request, response) => response.writeHead(404).end('nothing here'));
    plain.listen(0, '127.0.0.1');
    await once(plain, 'listening');
    cleanup.push(() => plain.close());
    const { port } = plain.address() as AddressInfo;
    expect(await codeOf(dial(port).ended)).toMatchObject({ code: 'no_central' });
    const ca = [readFileSync(`${keystores}/root-ec.crt`, 'utf8')];
    expect(await codeOf(dial(port, { target: { secure: true, host: '127.0.0.1', port }, ca }).ended)).toMatchObject({
      code: 'tls_plain_port',
    });
    plain.close();
    expect(await codeOf(dial(1).ended)).toMatchObject({ code: 'connection_refused' });
    expect(
      await codeOf(dial(1, { target: { secure: false, host: 'no-such-host.invalid', port: 1 } }).ended),
    ).toMatchObject({ code: 'host_unknown' });
  });
});

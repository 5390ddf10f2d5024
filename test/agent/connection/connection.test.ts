// One connection of the agent against Centrals of the test's own, which may be false ones.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:tls';
import { describe, expect, it, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { signTranscript, trustTranscript } from '../../../shared/wire/proof.ts';
import type { Welcome } from '../../../shared/wire/messages.ts';
import { NO_CONTROL } from '../../../agent/connection/control.ts';
import {
  central,
  codeOf,
  dial,
  falseCentral,
  keyPair,
  KEYSTORES,
  listening,
  PATIENT,
  welcome,
} from './false-central.ts';

describe('an agent that dials', () => {
  it('takes a welcome that is signed by the Central it enrolled with', async () => {
    const port = await falseCentral((socket, hello) => socket.send(JSON.stringify(welcome(hello))));
    const { sessions, outbox, abort, ended } = dial(port);
    await vi.waitFor(() => expect(sessions).toHaveLength(1), PATIENT);
    expect(sessions[0]).toMatchObject({ sessionId: 's1' });
    expect(outbox.reads.length).toBeLessThanOrEqual(1);
    abort.abort();
    expect(await codeOf(ended)).toMatchObject({ code: 'stopped' });
  });

  it('refuses a welcome whose time was changed on the line, and learns the time of one that is right', async () => {
    let said: Partial<Welcome> = { time: 1_790_000_000_001 };
    const port = await falseCentral((socket, hello) => socket.send(JSON.stringify(welcome(hello, central, said))));
    const { sessions, ended } = dial(port);
    expect(await codeOf(ended)).toMatchObject({ code: 'unproven_central' });
    expect(sessions).toEqual([]);
    said = {};
    const next = dial(port);
    await vi.waitFor(() => expect(next.sessions).toMatchObject([{ time: 1_790_000_000_000 }]), PATIENT);
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
    const { sessions, inbox, ended } = dial(port);
    expect(await codeOf(ended)).toEqual({ code: 'unproven_central', terminal: false, retryAfterMs: 60_000 });
    expect(sessions).toEqual([]);
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
    const certificates = readFileSync(`${KEYSTORES}/root-ec.crt`, 'utf8');
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
      { key: readFileSync(`${KEYSTORES}/central.key`), cert: readFileSync(`${KEYSTORES}/central.crt`) },
      (socket) => {
        socket.on('data', (chunk: Buffer) => (received += chunk.length));
        socket.on('error', () => undefined);
      },
    );
    const port = await listening(server);
    const secure = { secure: true, host: 'localhost', port };
    expect(
      await codeOf(dial(port, { target: secure, ca: [readFileSync(`${KEYSTORES}/root-rsa.crt`, 'utf8')] }).ended),
    ).toMatchObject({ code: 'tls_unknown_authority', terminal: false });
    expect(
      await codeOf(
        dial(port, { target: { ...secure, host: '127.0.0.2' }, ca: [readFileSync(`${KEYSTORES}/root-ec.crt`, 'utf8')] })
          .ended,
      ),
    ).toMatchObject({ code: expect.stringMatching(/tls_wrong_name|connection_refused/) as string });
    expect(received).toBe(0);
  });

  it('names a port that does not speak TLS, one that does, and something that is not Central', async () => {
    const plain = createServer((_request, response) => response.writeHead(404).end('nothing here'));
    const port = await listening(plain);
    expect(await codeOf(dial(port).ended)).toMatchObject({ code: 'no_central' });
    const ca = [readFileSync(`${KEYSTORES}/root-ec.crt`, 'utf8')];
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

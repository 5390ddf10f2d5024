import { createHash, generateKeyPairSync } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { describe, expect, it } from 'vitest';
import type { Hello, Welcome } from '../../../shared/wire/messages.ts';
import {
  channelBinding,
  helloTranscript,
  keyThumbprint,
  readPublicKey,
  renewTranscript,
  shownKey,
  shownThumbprint,
  signTranscript,
  trustTranscript,
  verifyTranscript,
  welcomeTranscript,
} from '../../../shared/wire/proof.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const spki = publicKey.export({ type: 'spki', format: 'der' });

const challenge = { nonce: 'n1', centralName: 'central' };
const hello: Omit<Hello, 'signature'> = {
  type: 'hello',
  id: 'agent-id',
  name: 'branch',
  key: 'spki',
  version: '1.2.3',
  bootId: 'boot',
  challenge: 'n1',
  nonce: 'n2',
  transport: 'wss',
  binding: 'b',
  releases: { profile: 'a'.repeat(64), runtime: null, program: 'b'.repeat(64) },
  capabilities: ['c'],
  logs: { down: { incarnation: 'i', number: 4, id: 'm4' } },
};
const welcome: Omit<Welcome, 'signature'> = {
  type: 'welcome',
  sessionId: 's',
  epoch: 7,
  time: 1_790_000_000_000,
  heartbeatSeconds: 15,
  limits: { maxFrameBytes: 1, maxMessageBytes: 2, windowItems: 3, windowBytes: 4 },
  logs: { up: { incarnation: 'j', number: 5, id: 'm5' } },
};

describe('what an agent signs in its hello', () => {
  it('is everything that it says, both nonces and the name of Central, in this order', () => {
    expect(JSON.parse(helloTranscript(challenge, hello))).toEqual([
      'queuegate.v1 hello',
      'n1',
      'central',
      'n2',
      'agent-id',
      'branch',
      'spki',
      '1.2.3',
      'boot',
      'wss',
      'b',
      `["${'a'.repeat(64)}","","${'b'.repeat(64)}"]`,
      '["c"]',
      '["i","4","m4"]',
    ]);
  });

  it('has an empty text for what is absent', () => {
    const bare = {
      ...hello,
      binding: null,
      releases: { profile: null, runtime: null, program: null },
      capabilities: [],
      logs: { down: null },
    };
    expect((JSON.parse(helloTranscript(challenge, bare)) as string[]).slice(-4)).toEqual(['', '', '[]', '']);
  });
});

describe('what Central signs', () => {
  it('in its welcome is everything that it says, and which hello it answers, in this order', () => {
    expect(JSON.parse(welcomeTranscript(hello, 'central', welcome))).toEqual([
      'queuegate.v1 welcome',
      'n2',
      'agent-id',
      'boot',
      'central',
      's',
      '7',
      '1790000000000',
      '15',
      '[1,2,3,4]',
      '["j","5","m5"]',
    ]);
    expect((JSON.parse(welcomeTranscript(hello, 'c', { ...welcome, logs: { up: null } })) as string[]).at(-1)).toBe('');
  });

  it('of its roots is bound to the session', () => {
    expect(JSON.parse(trustTranscript('s', 'pem'))).toEqual(['queuegate.v1 trust', 's', 'pem']);
  });
});

it('a request for another certificate is signed with the certificate that it follows', () => {
  expect(JSON.parse(renewTranscript(Buffer.from([1, 2, 3]), 'ab'))).toEqual(['queuegate.v1 renew', 'AQID', 'ab']);
});

describe('a signature', () => {
  const signature = signTranscript('text', privateKey);

  it('verifies for its transcript and its key, and for no other', () => {
    expect(verifyTranscript('text', signature, publicKey)).toBe(true);
    expect(verifyTranscript('texT', signature, publicKey)).toBe(false);
    const { publicKey: other } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    expect(verifyTranscript('text', signature, other)).toBe(false);
  });

  it('that cannot be read is a wrong one', () => {
    for (const bad of ['', '!', 'AAAA', signature.slice(0, -8), Buffer.alloc(72, 7).toString('base64')])
      expect(verifyTranscript('text', bad, publicKey)).toBe(false);
  });
});

describe('a key that a hello shows', () => {
  it('is read and named by its one form', () => {
    const shown = spki.toString('base64');
    expect(readPublicKey(shown)?.equals(publicKey)).toBe(true);
    const thumbprint = createHash('sha256').update(spki).digest('hex');
    expect([keyThumbprint(publicKey), shownThumbprint(shown), shownKey(shown).equals(spki)]).toEqual([
      thumbprint,
      thumbprint,
      true,
    ]);
  });

  it('of another kind is not read, and named by its bytes', () => {
    const other = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' });
    expect(readPublicKey(other.toString('base64'))).toBeUndefined();
    expect(shownKey(other.toString('base64'))).toEqual(other);
  });
});

it('a channel binding exists under TLS 1.3 only: below it the exporter does not bind', () => {
  const asked: unknown[] = [];
  const socket = (protocol: string): TLSSocket =>
    ({
      getProtocol: () => protocol,
      exportKeyingMaterial: (...order: unknown[]) => {
        asked.push(order);
        return Buffer.alloc(32, 1);
      },
    }) as unknown as TLSSocket;
  expect(channelBinding(socket('TLSv1.2'))).toBeUndefined();
  expect(channelBinding(socket('TLSv1.3'))).toBe(Buffer.alloc(32, 1).toString('base64url'));
  expect(asked).toEqual([[32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)]]);
});

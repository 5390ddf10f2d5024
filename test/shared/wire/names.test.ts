// Names in certificates: what is inside another name's quotes is not a name of its own.
import type { X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { openAuthority } from '../../../central/pki/authority/authority.ts';
import { makeKeyPair } from '../../../central/pki/x509/key-algorithms.ts';
import {
  agentIn,
  agentUri,
  alternativeNamesIn,
  centralIn,
  centralUri,
  readAgentUri,
} from '../../../shared/wire/names.ts';
import { memoryStore } from '../../central/fakes.ts';

describe('alternative names', () => {
  test.each([
    [
      'DNS:a, DNS:b',
      [
        ['DNS', 'a'],
        ['DNS', 'b'],
      ],
    ],
    [
      'URI:urn:x:y, IP Address:10.0.0.1',
      [
        ['URI', 'urn:x:y'],
        ['IP Address', '10.0.0.1'],
      ],
    ],
    [
      String.raw`DNS:"a, URI:urn:queuegate:agent:other", URI:urn:b`,
      [
        ['DNS', 'a, URI:urn:queuegate:agent:other'],
        ['URI', 'urn:b'],
      ],
    ],
    [
      String.raw`DNS:"a\", URI:x", DNS:b`,
      [
        ['DNS', 'a", URI:x'],
        ['DNS', 'b'],
      ],
    ],
    ['DNS:"never closed, URI:urn:b', []],
    ['DNS:a, "', [['DNS', 'a']]],
    ['', []],
    ['no colon', []],
    ['DNS:', [['DNS', '']]],
    ['DNS:a,DNS:b', [['DNS', 'a,DNS:b']]],
    ['DNS:"a"x, DNS:b', [['DNS', 'a']]],
    [String.raw`DNS:"\x", DNS:b`, []],
  ])('%s', (text, expected) => {
    expect(Array.from(alternativeNamesIn(text), ({ type, value }) => [type, value])).toEqual(expected);
  });

  test('a host name that holds the URI of an agent makes no agent of its certificate', async () => {
    const authority = await openAuthority({
      keyMaterial: memoryStore().keyMaterial,
      central: 'central.test',
      now: Date.now,
    });
    const { publicKey } = await makeKeyPair();
    const other = await authority.issueServer({
      subject: 'CN=a',
      names: ['x, URI:urn:queuegate:agent:victim'],
      publicKey,
      lifetimeDays: 1,
    });
    expect(other.subjectAltName).toContain('urn:queuegate:agent:victim');
    expect(agentIn(other)).toBeUndefined();
    expect(agentIn(await authority.issueAgent({ id: 'pc/1, "ü"', name: 'a', publicKey, lifetimeDays: 1 }))).toBe(
      'pc/1, "ü"',
    );
  });

  test('the URI of an agent holds any id, and none but its own is read', () => {
    for (const id of ['pc', 'pc/1, "ü"', 'a b', '%', 'urn:x']) {
      expect(agentUri(id)).toMatch(/^urn:queuegate:agent:[!-~]+$/);
      expect(readAgentUri(agentUri(id))).toBe(id);
      expect(readAgentUri(centralUri(id))).toBeUndefined();
    }
    for (const uri of ['', 'urn:queuegate:agent:', 'urn:queuegate:agent:%zz', `x${agentUri('pc')}`])
      expect(readAgentUri(uri), uri).toBeUndefined();
    expect(centralUri('a b')).toBe('urn:queuegate:central:a%20b');
  });

  test('a certificate belongs to an agent or to Central, by its first name of that kind', () => {
    const having = (subjectAltName?: string) => ({ subjectAltName }) as X509Certificate;
    const both = `DNS:a, URI:${centralUri('c')}, URI:${agentUri('pc')}, URI:${agentUri('other')}`;
    expect([agentIn(having(both)), centralIn(having(both))]).toEqual(['pc', 'c']);
    expect([agentIn(having()), centralIn(having())]).toEqual([undefined, undefined]);
    expect(agentIn(having(`DNS:${agentUri('pc')}`))).toBeUndefined();
    expect(centralIn(having(`URI:${agentUri('pc')}`))).toBeUndefined();
  });
});

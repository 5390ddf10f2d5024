// Names in certificates: what is inside another name's quotes is no name of its own.
import { describe, expect, test } from 'vitest';
import { openAuthority } from '../../../central/pki/authority/authority.ts';
import { makeKeyPair } from '../../../central/pki/x509/key-algorithms.ts';
import { agentIn, alternativeNamesIn } from '../../../shared/wire/names.ts';
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
});

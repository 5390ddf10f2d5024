// Every string member of every frame, both ways, at its full length and full of bait, through the codec and what reads
// a frame next.
import { expect, test } from 'vitest';
import { proveHello } from '../../../central/auth/agent-identity.ts';
import { MESSAGE_SCHEMA, readItem } from '../../../shared/delivery/message.ts';
import { decodeFromAgent, decodeFromCentral } from '../../../shared/wire/codec.ts';
import { FROM_AGENT, FROM_CENTRAL, LIMITS, type AgentFrame, type CentralFrame } from '../../../shared/wire/messages.ts';
import { readPublicKey, shownThumbprint } from '../../../shared/wire/proof.ts';
import { BAITS, CostCheck, stringPlaces, whateverComesOfIt, type AnySchema } from '../../bait.ts';

const CHALLENGE = {
  type: 'challenge',
  nonce: 'n'.repeat(22),
  centralName: 'c',
  sentAt: '2026-11-22T10:00:00.000Z',
} as const;
const SEEN = {
  listener: 'ws',
  origin: { address: '10.0.0.7', peer: '10.0.0.7', proxied: false, scheme: 'ws' },
  binding: null,
} as const;

async function read(frame: AgentFrame | CentralFrame | null): Promise<void> {
  if (frame?.type === 'hello') {
    readPublicKey(frame.key);
    shownThumbprint(frame.key);
    await proveHello({ ...frame, challenge: CHALLENGE.nonce }, CHALLENGE, SEEN);
  }
  if (frame?.type === 'messages') for (const item of frame.items) readItem(item, LIMITS.maxMessageBytes);
}

for (const [from, schemas, decode] of [
  ['an agent', FROM_AGENT, decodeFromAgent],
  ['Central', FROM_CENTRAL, decodeFromCentral],
] as const) {
  test(`no string in a frame of ${from} costs more CPU than its length, whatever it holds`, async () => {
    const cost = new CostCheck();
    for (const [type, schema] of Object.entries(schemas) as [string, AnySchema][]) {
      for (const { place, maxLength, with: withText } of stringPlaces(schema, LIMITS.maxFrameBytes)) {
        for (const [bait, textOf] of Object.entries(BAITS)) {
          const text = JSON.stringify(withText(textOf(maxLength)));
          await cost.check(`${type}${place}, ${bait}`, () => whateverComesOfIt(() => read(decode(text))));
        }
      }
    }
    expect(cost.faults(Object.keys(schemas).length)).toEqual([]);
  });
}

test('no attribute of a message costs more CPU than its length, nor does a name of one', async () => {
  const cost = new CostCheck();
  const places = [
    ...stringPlaces(MESSAGE_SCHEMA, LIMITS.maxMessageBytes),
    ...['data', 'extension'].map((name) => ({
      place: `/${name}`,
      maxLength: LIMITS.maxMessageBytes,
      with: (text: string) => ({ specversion: '1.0', id: 'i', source: 's', type: 't', [name]: text }),
    })),
  ];
  for (const { place, maxLength, with: withText } of places) {
    for (const [bait, textOf] of Object.entries(BAITS)) {
      const text = textOf(maxLength);
      for (const [where, item] of [
        [place, withText(text)],
        [`a name as long as ${place}`, { specversion: '1.0', id: 'i', source: 's', type: 't', [text]: 1 }],
      ] as const) {
        const frame = JSON.stringify({ type: 'messages', first: 1, items: [item] });
        await cost.check(`${where}, ${bait}`, () => whateverComesOfIt(() => read(decodeFromAgent(frame))));
      }
    }
  }
  expect(cost.faults(200)).toEqual([]);
});

test('bait fills the whole length, and finds every string of a schema', () => {
  for (const [bait, textOf] of Object.entries(BAITS))
    for (const length of [0, 1, 64, 1000]) expect(textOf(length).length, bait).toBeLessThanOrEqual(length);
  const schema = {
    type: 'object',
    required: ['a'],
    properties: {
      a: { type: 'string', maxLength: 3 },
      b: {
        anyOf: [
          { type: 'null' },
          { type: 'object', properties: { c: { type: 'array', items: { type: 'string', maxLength: 5 } } } },
        ],
      },
    },
  };
  expect(stringPlaces(schema).map(({ place, maxLength, with: withText }) => [place, maxLength, withText('x')])).toEqual(
    [
      ['/a', 3, { a: 'x' }],
      ['/b/c/0', 5, { a: 'A', b: { c: ['x'] } }],
    ],
  );
});

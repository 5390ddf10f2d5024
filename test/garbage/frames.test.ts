// Garbage inside the WebSocket, at Central: what is not a frame, JSON that is not a frame, and every frame of the
// schemas with one member wrong, before and after the welcome. An honest agent works all the while.
import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { LOGIN_BURST } from '../../central/sessions/limits/agent-rate.ts';
import { FROM_AGENT, HELLO, MESSAGES } from '../../shared/wire/messages.ts';
import { Cleanup, until, type CentralProcess } from '../flow/processes.ts';
import { enrollKey, newKey, RawAgent, type HelloOrder } from '../flow/raw-agent.ts';
import { brokenOnce, fitting, hasMembers } from './frame-arbitraries.ts';
import {
  boundedCentral,
  Bystander,
  carrierOf,
  inLanes,
  nested,
  printSeed,
  rawFrame,
  samples,
  type RawFrame,
} from './garbage.ts';

const cleanup = new Cleanup();
/** So many connections side by side where their order does not matter. */
const LANES = 8;
let central: CentralProcess;
let bystander: Bystander;
/** Agents that are enrolled and behave as each test says, each with one boot: they are on bad lines, and no clones. */
let strangers: HelloOrder[];
let stranger: HelloOrder;

beforeAll(async () => {
  printSeed();
  central = await boundedCentral(cleanup, { 'agents.welcomeTimeoutSeconds': 3 });
  strangers = await Promise.all(Array.from({ length: LANES }, () => newStranger()));
  const [first] = strangers;
  if (first === undefined) throw new Error('no stranger');
  stranger = first;
  bystander = await Bystander.start(cleanup, central);
});
afterEach(() => bystander.undisturbed());
afterAll(async () => {
  await bystander.lostNothing();
  await cleanup.run();
});

let enrolled = 0;
async function newStranger(): Promise<HelloOrder> {
  const key = newKey();
  enrolled += 1;
  const name = `stranger-${enrolled}`;
  return { id: await enrollKey(central, key, name), key, name, bootId: randomBytes(24).toString('base64url') };
}

/** Who logs in for a stranger, since each may only so often; and how often that was. */
const deputies = new Map<HelloOrder, { order: HelloOrder; logins: number }>();
const LOGINS = LOGIN_BURST / 2;

async function deputyOf(as: HelloOrder): Promise<HelloOrder> {
  const known = deputies.get(as);
  if (known !== undefined && known.logins < LOGINS) {
    known.logins += 1;
    return known.order;
  }
  const order = known === undefined ? as : await newStranger();
  deputies.set(as, { order, logins: 1 });
  return order;
}

type Stage = 'before the welcome' | 'after the welcome';
const STAGES: readonly Stage[] = ['before the welcome', 'after the welcome'];

/** A connection that has come so far; each is dropped at the end of its test. */
async function at(
  stage: Stage,
  { transport = 'ws', as = strangers[0] }: { readonly transport?: 'ws' | 'wss'; readonly as?: HelloOrder } = {},
): Promise<RawAgent> {
  const agent = await RawAgent[transport](dropped, central);
  if (stage === 'after the welcome' && as !== undefined) {
    const order = await deputyOf(as);
    if (as === strangers[0]) stranger = order;
    await agent.welcomed(order);
  }
  return agent;
}

const dropped = new Cleanup();
afterEach(() => dropped.run());

/** What became of a connection: the code of the refuse frame, if one came, and the close code. */
async function ended(agent: RawAgent): Promise<{ refused: unknown; close: number }> {
  const { code } = await agent.close();
  return { refused: agent.frames.find(({ type }) => type === 'refuse')?.['code'], close: code };
}

/** Central answers on this connection: a ping comes back. */
async function answers(agent: RawAgent): Promise<void> {
  const token = randomBytes(8);
  const pong = new Promise<void>((resolve, reject) => {
    agent.webSocket.on('pong', (data: Buffer) => data.equals(token) && resolve());
    agent.webSocket.on('close', () => reject(new Error(`closed: ${JSON.stringify([agent.closed, agent.frames])}`)));
  });
  agent.webSocket.ping(token);
  await pong;
}

const text = (value: string): Buffer => Buffer.from(value);

describe.each(STAGES)('WebSocket frames that are none, %s', (stage) => {
  const WRONG: readonly (readonly [string, number, RawFrame])[] = [
    ['without a mask', 1002, { masked: false, payload: text('{}') }],
    ['with the bit of compression', 1002, { reserved: 4, payload: text('{}') }],
    ['with reserved bits', 1002, { reserved: 3, payload: text('{}') }],
    ['with a reserved opcode', 1002, { opcode: 3 }],
    ['with a reserved control opcode', 1002, { opcode: 0xb }],
    ['that continue nothing', 1002, { opcode: 0, payload: text('{}') }],
    ['of control that are too long', 1002, { opcode: 9, payload: Buffer.alloc(126), lengthBytes: 2 }],
    ['of control in fragments', 1002, { opcode: 9, last: false }],
    ['with half a close code', 1002, { opcode: 8, payload: Buffer.from([3]) }],
    ['with a close code that is none', 1002, { opcode: 8, payload: Buffer.from([0, 1]) }],
    ['with a close reason that is not UTF-8', 1007, { opcode: 8, payload: Buffer.from([3, 232, 0xff, 0xfe]) }],
    ['with text that is not UTF-8', 1007, { payload: Buffer.from([0x7b, 0xff, 0xed, 0xa0, 0x80, 0x7d]) }],
    ['that claim 2 MiB', 1009, { claims: 2n * 1024n * 1024n }],
    ['that claim 2^62 bytes', 1009, { claims: 1n << 62n }],
    ['that claim 2^64 - 1 bytes', 1009, { claims: (1n << 64n) - 1n }],
  ];

  it('each is ended with the close code of RFC 6455: 1002, 1007 for what is not UTF-8, 1009 for what is too large', async () => {
    const cases = WRONG.flatMap(([what, close, frame]) =>
      (['ws', 'wss'] as const).map((transport) => ({ what, close, transport, bytes: rawFrame(frame) })),
    );
    await inLanes(cases, strangers, async ({ close, transport, bytes }, as) => {
      const agent = await at(stage, { transport, as });
      carrierOf(agent.webSocket).write(bytes);
      expect(await ended(agent)).toEqual({ refused: undefined, close });
    });
  });

  it('a frame that is announced and never comes holds neither memory nor the line for ever', async () => {
    const agents = await Promise.all(Array.from({ length: stage === 'before the welcome' ? 40 : 1 }, () => at(stage)));
    for (const agent of agents) carrierOf(agent.webSocket).write(rawFrame({ claims: 900_000n }));
    if (stage === 'after the welcome') return await answersNothingButStands(agents[0]);
    for (const agent of agents) expect(await ended(agent)).toEqual({ refused: 'hello_timeout', close: 4504 });
  });

  async function answersNothingButStands(agent: RawAgent | undefined): Promise<void> {
    // Slow lines take minutes for a frame: what bounds this one is the heartbeat, and its announced size is not yet
    // taken.
    await bystander.goesOn();
    expect(agent?.closed).toBeUndefined();
  }

  it('a frame in fragments without end is cut at the bound of its size, and in pieces of one byte at the bound of their number', async () => {
    for (const [bytes, count] of [
      [65_536, 40],
      [1, 20_000],
    ] as const) {
      const agent = await at(stage);
      const piece = rawFrame({ opcode: 0, last: false, payload: Buffer.alloc(bytes, 0x20) });
      carrierOf(agent.webSocket).write(
        Buffer.concat([rawFrame({ last: false, payload: text('{') }), ...Array.from({ length: count }, () => piece)]),
      );
      const { code: close } = await agent.close();
      // A stranger gets the room of a hello and is cut without a word; close codes need a reader at the other end.
      expect([1006, 1008, 1009]).toContain(close);
    }
  });

  it('a frame that is never finished is cut at a bound of the pieces in which it is read, however small they are', async () => {
    const agent = await at(stage, { transport: 'wss' });
    const carrier = carrierOf(agent.webSocket);
    carrier.write(
      rawFrame({ payload: Buffer.alloc(stage === 'before the welcome' ? 10_000 : 100_000, 0x20) }).subarray(0, 20),
    );
    let records = 0;
    // Each write that is waited for is a TLS record of its own.
    for (; agent.closed === undefined && !carrier.destroyed && records < 20_000; records += 1) {
      await new Promise((resolve) => carrier.write(' ', resolve));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect([1006, 1008]).toContain((await agent.close()).code);
  });

  it('a binary frame is refused', async () => {
    const agent = await at(stage);
    agent.webSocket.send(randomBytes(100), { binary: true });
    expect(await ended(agent)).toEqual(
      stage === 'before the welcome'
        ? { refused: 'unsupported_protocol', close: 4400 }
        : { refused: 'bad_frame', close: 4510 },
    );
  });

  it('random bytes behind the upgrade are ended', async () => {
    await inLanes(samples(fc.uint8Array({ minLength: 1, maxLength: 300 }), 100), strangers, async (bytes, as) => {
      const agent = await at(stage, { as });
      carrierOf(agent.webSocket).write(bytes);
      carrierOf(agent.webSocket).end();
      expect([1002, 1005, 1006, 1007, 1009, 4400, 4510]).toContain((await agent.close()).code);
      agent.webSocket.terminate();
    });
  });
});

/** JSON texts that are not a frame of either side. */
const NO_FRAMES: readonly (readonly [string, string])[] = [
  ['nothing', ''],
  ['no JSON', '{"type":"hello"'],
  ['two values', '{"type":"pause"}{"type":"pause"}'],
  ['a byte order mark', '\uFEFF{"type":"pause"}'],
  ['NaN', '{"type":"ack","through":NaN}'],
  ['null', 'null'],
  ['a number', '17'],
  ['a text', '"hello"'],
  ['an array', '[{"type":"hello"}]'],
  ['no type', '{"kind":"hello"}'],
  ['a type that is a number', '{"type":1}'],
  ['a type in an array', '{"type":["hello"]}'],
  ['a prototype with a type', '{"__proto__":{"type":"pause"}}'],
  ['5,000 levels', nested(5_000)],
];

/** What a session ignores, since a newer peer may say it. */
const UNKNOWN_TYPES = [
  '',
  'HELLO',
  'hello ',
  'welcome',
  'challenge',
  'refuse',
  'drain',
  'profile',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '\u0000',
  '\ud800',
  'x'.repeat(5_000),
];

describe('JSON that is not a frame', () => {
  it('is refused at both stages with the reason', async () => {
    await inLanes(
      STAGES.flatMap((stage) => NO_FRAMES.map(([what, json]) => ({ stage, what, json }))),
      strangers,
      async ({ stage, json }, as) => {
        const agent = await at(stage, { as });
        agent.webSocket.send(json);
        expect(await ended(agent)).toEqual(
          stage === 'before the welcome'
            ? { refused: 'unsupported_protocol', close: 4400 }
            : { refused: 'bad_frame', close: 4510 },
        );
        expect(String(agent.frames.at(-1)?.['detail'])).toMatch(/JSON/);
      },
    );
  });

  it('100,000 levels are refused, and so is a frame with a member of 100,000 levels that it knows', async () => {
    for (const json of [
      nested(100_000),
      `{"type":"ack","through":${nested(100_000)}}`,
      `{"type":"begin","incarnation":"i","next":1,"missing":${nested(100_000)}}`,
      `{"type":"messages","first":1,"items":${nested(100_000).slice(1, -1)}`,
    ]) {
      const agent = await at('after the welcome');
      agent.webSocket.send(json);
      expect(await ended(agent)).toEqual({ refused: 'bad_frame', close: 4510 });
    }
  });

  it('a first frame of an unknown type is refused; in a session such a frame is ignored', async () => {
    const session = await at('after the welcome');
    await inLanes(UNKNOWN_TYPES, strangers, async (type) => {
      const agent = await at('before the welcome');
      agent.send({ type, more: nested(10) });
      expect(await ended(agent)).toEqual({ refused: 'unsupported_protocol', close: 4400 });
      session.send({ type, constructor: 1 });
    });
    await answers(session);
  });

  it('a hello of more than its bound is cut', async () => {
    const agent = await at('before the welcome');
    agent.send({ ...agent.hello(stranger), more: 'x'.repeat(20_000) });
    expect((await agent.close()).code).toBe(1006);
  });
});

describe('frames of the schemas', () => {
  const known = Object.entries(FROM_AGENT);
  const broken = fc.oneof(
    ...known
      .filter(([, schema]) => hasMembers(schema))
      .map(([type, schema]) => brokenOnce(schema).map(({ place, value }) => ({ type, place, value }))),
  );
  const sound = fc.oneof(...known.map(([type, schema]) => fitting(schema).map((value) => ({ type, value }))));

  it('with one member wrong are refused before the welcome, whatever their type', async () => {
    await inLanes(samples(broken, 150), strangers, async ({ type, value }) => {
      const json = JSON.stringify(value);
      // Above this a stranger is cut without a word.
      if (json.length > 15_000) return;
      const agent = await at('before the welcome');
      agent.webSocket.send(json);
      expect(await ended(agent)).toEqual({ refused: 'unsupported_protocol', close: 4400 });
      expect(String(agent.frames.at(-1)?.['detail'])).toContain(type === 'hello' ? 'hello: ' : 'hello');
    });
  });

  it('with one member wrong end the session after the welcome, and the text names the place', async () => {
    await inLanes(samples(broken, 150), strangers, async ({ type, place, value }, as) => {
      const agent = await at('after the welcome', { as });
      agent.send(value as object);
      expect(await ended(agent)).toEqual({ refused: 'bad_frame', close: 4510 });
      expect(String(agent.frames.at(-1)?.['detail'])).toMatch(new RegExp(`${type}: .*${place.split('/').at(1)}`, 's'));
    });
  });

  it('that fit, made at random, are a hello that is not believed, or a refusal, and in a session never more than its end', async () => {
    await inLanes(samples(sound, 80), strangers, async ({ type, value }) => {
      const json = JSON.stringify(value);
      if (json.length > 15_000) return;
      const agent = await at('before the welcome');
      agent.webSocket.send(json);
      const { refused } = await ended(agent);
      expect(type === 'hello' ? ['bad_signature', 'replayed_hello'] : ['unsupported_protocol']).toContain(refused);
    });
    await inLanes(samples(fc.array(sound, { minLength: 1, maxLength: 6 }), 80), strangers, async (frames, as) => {
      const agent = await at('after the welcome', { as });
      for (const { value } of frames) agent.send(value as object);
      // An open session answers; a closed one got the reason.
      await Promise.race([answers(agent).catch(() => undefined), agent.close()]);
      expect(['it is open', '4510 refuse']).toContain(
        agent.closed === undefined ? 'it is open' : `${agent.closed.code} ${agent.frames.at(-1)?.type}`,
      );
      agent.webSocket.terminate();
    });
  });

  it('a signed hello with any strange id, name or version is refused for what it is', async () => {
    const { id, name, version } = HELLO.properties;
    await inLanes(
      samples(fc.record({ id: fitting(id), name: fitting(name), version: fitting(version) }), 40),
      strangers,
      async (change) => {
        const agent = await at('before the welcome');
        const { code } = await agent.refused({
          ...stranger,
          change: { id: String(change['id']), name: String(change['name']), version: String(change['version']) },
        });
        expect(code).toBe('agent_unknown');
      },
    );
  });

  it.each<[string, object[]]>([
    ['a second hello', [{ hello: true }]],
    ['messages before begin', [{ type: 'messages', first: 1, items: [] }]],
    [
      'a second begin',
      [
        { type: 'begin', incarnation: 'i', next: 1, missing: null },
        { type: 'begin', incarnation: 'i', next: 1, missing: null },
      ],
    ],
    [
      'a begin in the middle of a log that is new',
      [{ type: 'begin', incarnation: 'other', next: 2 ** 53 - 1, missing: null }],
    ],
    ['an ack of what was never sent', [{ type: 'ack', through: 2 ** 53 - 1 }]],
    [
      'messages with a gap',
      [
        { type: 'begin', incarnation: 'gap', next: 1, missing: null },
        { type: 'messages', first: 2 ** 53 - 1, items: [1] },
      ],
    ],
    [
      'more items than the window',
      [
        { type: 'begin', incarnation: 'window', next: 1, missing: null },
        { type: 'messages', first: 1, items: Array.from({ length: 100_000 }, () => 0) },
      ],
    ],
  ])('%s ends the session', async (_, frames) => {
    const agent = await at('after the welcome');
    for (const frame of frames) agent.send('hello' in frame ? agent.hello(stranger) : frame);
    expect((await ended(agent)).close).toBe(4510);
    expect(['bad_frame', 'log_violation']).toContain(agent.frames.at(-1)?.['code']);
  });

  it('frames that come together with the hello do not get past the welcome', async () => {
    const agent = await at('before the welcome');
    const carrier = carrierOf(agent.webSocket);
    carrier.cork();
    agent.send(agent.hello(stranger));
    agent.send({ type: 'begin', incarnation: 'early', next: 1, missing: null });
    agent.send({
      type: 'messages',
      first: 1,
      items: [{ specversion: '1.0', id: 'early', source: '/s', type: 'early' }],
    });
    carrier.uncork();
    expect(await ended(agent)).toEqual({ refused: 'unsupported_protocol', close: 4400 });
    expect(await central.events(`&agent=${stranger.id}&type=early`)).toEqual([]);
  });
});

describe('items of a messages frame', () => {
  it('that are garbage fail alone: each takes its number and goes to the dead letters, and the sound ones among them arrive', async () => {
    const agent = await at('after the welcome');
    agent.send({ type: 'begin', incarnation: randomBytes(16).toString('hex'), next: 1, missing: null });
    let next = 1;
    const anything = fc.oneof(
      fitting(MESSAGES.properties.items.items),
      fc.record(
        {
          specversion: fc.constantFrom('1.0', 1, null),
          id: fc.jsonValue(),
          source: fc.string({ unit: 'binary' }),
          type: fc.constant('odd'),
          data: fc.jsonValue(),
        },
        { requiredKeys: [] },
      ),
    );
    let sound = 0;
    for (const items of samples(fc.array(anything, { minLength: 1, maxLength: 8 }), 40)) {
      sound += 1;
      const all = [...items, { specversion: '1.0', id: `sound-${sound}`, source: '/s', type: 'sound' }];
      agent.send({ type: 'messages', first: next, items: all });
      next += all.length;
      await until(
        () => (agent.frames.some((frame) => frame.type === 'ack' && frame['through'] === next - 1) ? true : undefined),
        15_000,
        () => `no ack through ${next - 1}: ${JSON.stringify(agent.closed)}`,
      );
    }
    expect((await central.events(`&agent=${stranger.id}&type=sound`)).map(({ event }) => event['id'])).toEqual(
      Array.from({ length: sound }, (_, i) => `sound-${i + 1}`),
    );
  });

  it('of 100,000 levels, with ids that are halves of surrogate pairs, or with names of Object.prototype, are dead letters; two of them never become one', async () => {
    const agent = await at('after the welcome');
    agent.send({ type: 'begin', incarnation: randomBytes(16).toString('hex'), next: 1, missing: null });
    const head = '"specversion":"1.0","source":"/s","type":"edge"';
    const items = [
      `{${head},"id":"deep","data":${nested(100_000)}}`,
      `{${head},"id":"\\ud800"}`,
      `{${head},"id":"\\udfff"}`,
      `{${head},"id":"p","__proto__":{"a":1}}`,
      `{${head},"id":"ok","data":{"__proto__":1,"constructor":2}}`,
      nested(50_000),
    ];
    agent.sendText(`{"type":"messages","first":1,"items":[${items.join(',')}]}`);
    await until(
      () =>
        agent.frames.some((frame) => frame.type === 'ack' && frame['through'] === items.length) ? true : undefined,
      15_000,
      () => JSON.stringify(agent.frames),
    );
    expect((await central.events(`&agent=${stranger.id}&type=edge`)).map(({ event }) => event)).toEqual([
      expect.objectContaining({ id: 'ok', data: JSON.parse('{"__proto__":1,"constructor":2}') as unknown }),
    ]);
    const { body } = await central.rest('GET', `/dead-letters?agent=${stranger.id}&limit=100`);
    const halves = (body.items as { detail: string; count: number; text: string }[]).filter(({ detail }) =>
      detail.includes('/id holds'),
    );
    expect(halves.map(({ count, text }) => [count, text.split('\n').length])).toEqual([[2, 2]]);
  });
});

// Callers of a service at Central, in a process of their own.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { serveCalls } from '../../../bench/child.ts';
import { blockOf, fits } from './pattern.ts';

export interface Target {
  readonly port: number;
  readonly ca: string;
}

export interface Callers {
  /** Downloads at once; how many bytes of each came and were right. */
  download(target: Target, count: number, bytes: number): Promise<number[]>;
  /** One small request after the other on one connection; the milliseconds of each. */
  small(target: Target, count: number): Promise<number[]>;
  /** Downloads that go on until `stop`; `everyMs`: what has come is read so often, 0: as it comes. Each has begun. */
  begin(target: Target, count: number, everyMs: number): Promise<void>;
  /** Ends them; how many bytes each of them got. */
  stop(): Promise<number[]>;
  /** Calls that end at once, or in the middle of their answer; so many of each at the same time. */
  reset(target: Target, count: number, atOnce: number): Promise<void>;
}

const ENDLESS = 10 ** 12;

function send({ port, ca }: Target, path: string, agent: Agent | false = false) {
  return request({ host: '127.0.0.1', servername: 'localhost', port, ca, path, agent }).end();
}

async function answerTo(target: Target, path: string, agent?: Agent): Promise<IncomingMessage> {
  const [answer] = (await once(send(target, path, agent), 'response')) as [IncomingMessage];
  if (answer.statusCode !== 200) throw new Error(`${path} was answered with ${answer.statusCode}`);
  return answer;
}

const running: { readonly answer: IncomingMessage; bytes: number }[] = [];

serveCalls({
  download: (target, count, bytes) =>
    Promise.all(
      Array.from({ length: count }, async (_, seed) => {
        const block = blockOf(seed);
        let right = 0;
        for await (const chunk of (await answerTo(target, `/pattern/${seed}/${bytes}`)) as AsyncIterable<Buffer>) {
          if (!fits(chunk, block, right)) throw new Error(`download ${seed} is wrong behind byte ${right}`);
          right += chunk.length;
        }
        return right;
      }),
    ),
  async small(target, count) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const taken: number[] = [];
    for (let i = 0; i < count; i += 1) {
      const startedAt = performance.now();
      const answer = await answerTo(target, '/small', agent);
      await once(answer.resume(), 'end');
      taken.push(performance.now() - startedAt);
    }
    agent.destroy();
    return taken;
  },
  async begin(target, count, everyMs) {
    for (let seed = 0; seed < count; seed += 1) {
      const answer = await answerTo(target, `/pattern/${seed}/${ENDLESS}`);
      answer.on('error', () => undefined);
      const one = { answer, bytes: 0 };
      running.push(one);
      answer.on('data', (chunk: Buffer) => {
        one.bytes += chunk.length;
        if (everyMs === 0) return;
        answer.pause();
        setTimeout(() => answer.resume(), everyMs);
      });
    }
  },
  async stop() {
    const found = running.splice(0);
    for (const { answer } of found) answer.destroy();
    return found.map(({ bytes }) => bytes);
  },
  async reset(target, count, atOnce) {
    const numbers = Array.from({ length: count }, (_, i) => i).values();
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        for (const i of numbers) {
          const sent = send(target, `/pattern/1/${ENDLESS}`);
          sent.on('error', () => undefined);
          const [answer] = (await once(sent, 'response')) as [IncomingMessage];
          answer.on('error', () => undefined);
          if (i % 2 === 0) await once(answer, 'data');
          sent.destroy();
          await delay(0);
        }
      }),
    );
  },
} satisfies Callers);

// Agents that come back with a backlog, by hand and cheaply: all of them send the same bytes, so that hundreds of
// backlogs cost the test no memory of its own.
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { withChecksum } from '../../shared/wire/checksum.ts';
import { encodeMessages } from '../../shared/wire/codec.ts';
import type { Cleanup, CentralProcess } from './processes.ts';
import { enrollKey, newKey, RawAgent, type HelloOrder } from './raw-agent.ts';

const ITEM_BYTES = 4_000;
const ITEMS_PER_FRAME = 240;

/**
 * A frame of an unmasked text message would be refused; a mask of zeros leaves the payload as it is (RFC 6455 section
 * 5.3).
 */
function frameBytes(payload: Buffer): Buffer {
  const head = Buffer.alloc(14);
  head[0] = 0x81;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(BigInt(payload.length), 2);
  return Buffer.concat([head, payload]);
}

/** Frames of about a megabyte, numbered from 1. */
export function backlogFrames(count: number): Buffer[] {
  return Array.from({ length: count }, (_, frame) => {
    const first = frame * ITEMS_PER_FRAME + 1;
    const items = Array.from({ length: ITEMS_PER_FRAME }, (__, i) =>
      JSON.stringify({
        specversion: '1.0',
        id: String(first + i),
        source: '/backlog',
        type: 'load',
        data: 'x'.repeat(ITEM_BYTES),
      }),
    );
    return frameBytes(Buffer.from(withChecksum(encodeMessages(first, items))));
  });
}

export async function enrollMany(central: CentralProcess, count: number): Promise<HelloOrder[]> {
  const orders: HelloOrder[] = [];
  const numbers = Array.from({ length: count }, (_, i) => i).values();
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      for (const i of numbers) {
        const key = newKey();
        orders.push({
          id: await enrollKey(central, key, `load-${i}`),
          key,
          name: `load-${i}`,
          bootId: randomBytes(24).toString('base64url'),
        });
      }
    }),
  );
  return orders;
}

export class LoadAgent {
  readonly agent: RawAgent;

  private constructor(agent: RawAgent) {
    this.agent = agent;
  }

  static async online(cleanup: Cleanup, central: CentralProcess, order: HelloOrder): Promise<LoadAgent> {
    const agent = await RawAgent.ws(cleanup, central);
    await agent.welcomed(order);
    agent.send({ type: 'begin', incarnation: 'load', next: 1, missing: null });
    return new LoadAgent(agent);
  }

  /** Says all of it at once; what Central does not read waits in the socket. */
  say(frames: readonly Buffer[]): void {
    // The socket of ws: what is written there is not copied.
    const { _socket: socket } = this.agent.webSocket as unknown as { readonly _socket: Socket };
    for (const frame of frames) socket.write(frame);
  }

  get acknowledged(): number {
    let through = 0;
    for (const frame of this.agent.frames)
      if (frame.type === 'ack') through = Math.max(through, Number(frame['through']));
    return through;
  }
}

/** Resident memory of a process, now and at its most (Linux: /proc/[pid]/status). */
export async function residentBytes(pid: number | undefined): Promise<{ now: number; most: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const of = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
  return { now: of('VmRSS'), most: of('VmHWM') };
}

// A line between an agent and Central, in a process of its own: so many bytes a second and so many milliseconds in each
// direction. On ws it sees the frames (RFC 6455 section 5.2), and measures how long Central's pings take to be answered.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { serveCalls } from '../../../bench/child.ts';

export interface ShapedLine {
  /** The port; connections go on to that port of this host. */
  listen(to: number, bytesPerSecond: number, delayMs: number): Promise<number>;
  /** The round trips of Central's pings since the last call, in milliseconds. */
  pings(): Promise<number[]>;
}

const [PING, PONG] = [9, 10];
const taken: number[] = [];

/** Calls `onFrame` with the opcode of each frame, once its head has passed. */
function frames(onFrame: (opcode: number) => void): (bytes: Buffer) => void {
  let [head, skip, isOpen] = [Buffer.alloc(0), 0, false];
  return (bytes) => {
    let rest = bytes;
    while (rest.length > 0) {
      const skipped = Math.min(skip, rest.length);
      skip -= skipped;
      rest = rest.subarray(skipped);
      if (rest.length === 0) return;
      head = Buffer.concat([head, rest]);
      rest = Buffer.alloc(0);
      if (!isOpen) {
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return;
        isOpen = true;
        rest = head.subarray(end + 4);
        head = Buffer.alloc(0);
        continue;
      }
      const length = (head[1] ?? 0) & 0x7f;
      const extended = length === 126 ? 2 : length === 127 ? 8 : 0;
      const size = 2 + extended + ((head[1] ?? 0) & 0x80 ? 4 : 0);
      if (head.length < size) return;
      onFrame((head[0] ?? 0) & 0x0f);
      skip = extended === 2 ? head.readUInt16BE(2) : extended === 8 ? Number(head.readBigUInt64BE(2)) : length;
      rest = head.subarray(size);
      head = Buffer.alloc(0);
    }
  };
}

interface Way {
  readonly bytesPerSecond: number;
  readonly delayMs: number;
  /** As the bytes enter the line, and as they leave it. */
  readonly onEnter: (bytes: Buffer) => void;
  readonly onLeave: (bytes: Buffer) => void;
}

/** All that comes is taken at once: it waits in the line, as in the queue of a router. */
function carry(from: Socket, into: Socket, { bytesPerSecond, delayMs, onEnter, onLeave }: Way): void {
  const queue: { readonly bytes: Buffer; readonly dueAt: number }[] = [];
  let freeAt = 0;
  let timer: NodeJS.Timeout | undefined;
  const deliver = (): void => {
    timer = undefined;
    for (let next = queue[0]; next !== undefined && next.dueAt <= performance.now(); next = queue[0]) {
      queue.shift();
      onLeave(next.bytes);
      if (!into.destroyed) into.write(next.bytes);
    }
    if (queue[0] !== undefined) timer = setTimeout(deliver, Math.max(0, queue[0].dueAt - performance.now()));
  };
  from.on('data', (bytes: Buffer) => {
    onEnter(bytes);
    freeAt = Math.max(freeAt, performance.now()) + (bytes.length / bytesPerSecond) * 1000;
    queue.push({ bytes, dueAt: freeAt + delayMs });
    timer ??= setTimeout(deliver, delayMs);
  });
  from.on('error', () => undefined);
  from.once('close', () => into.destroy());
}

serveCalls({
  async listen(to, bytesPerSecond, delayMs) {
    const none = (): void => undefined;
    const server = createServer({ noDelay: true }, (agent) => {
      const central = connect({ host: '127.0.0.1', port: to, noDelay: true });
      const pings: number[] = [];
      const shape = { bytesPerSecond, delayMs };
      const seen = frames((opcode) => void (opcode === PING && pings.push(performance.now())));
      const answered = frames((opcode) => {
        const sentAt = opcode === PONG ? pings.shift() : undefined;
        if (sentAt !== undefined) taken.push(performance.now() - sentAt);
      });
      carry(central, agent, { ...shape, onEnter: seen, onLeave: none });
      carry(agent, central, { ...shape, onEnter: none, onLeave: answered });
    });
    await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1' }, resolve));
    return (server.address() as AddressInfo).port;
  },
  pings: async () => taken.splice(0),
} satisfies ShapedLine);

// What one turn of the event loop reads of connections that are not welcomed: with sockets that only count, and with
// real ones.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { connect } from 'node:tls';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { ReadTurns, type ReadTurn } from '../../../shared/http/read-turns.ts';
import { createTlsServer } from '../../../central/listeners/tls.ts';

const folder = 'test/fixtures/keystores';

/** A carrier that counts whether it is read. */
function carrier() {
  const handle = { reads: true, readStart: () => set(true), readStop: () => set(false) };
  const set = (reads: boolean): number => ((handle.reads = reads), 0);
  return { bytesRead: 0, _handle: handle };
}

interface Entered extends ReturnType<typeof carrier> {
  readonly turn: ReadTurn;
}

function turnsOf(mayRead?: (block: string) => boolean) {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const turns = new ReadTurns({ now: () => Date.now(), ...(mayRead === undefined ? {} : { mayRead }) });
  const entered: Entered[] = [];
  return {
    entered,
    reading: () => entered.flatMap(({ _handle }, i) => (_handle.reads ? [i] : [])),
    enter: (block: string, check: () => void = () => undefined): Entered => {
      const socket = carrier();
      const turn = turns.enter(socket as unknown as Socket, block, check);
      const found = { ...socket, turn };
      entered.push(found);
      return found;
    },
  };
}

describe('TLS connections that are not welcomed', () => {
  test('are all read while they are four; of more, four have a turn, and each of them within half a second', () => {
    const { enter, reading } = turnsOf();
    for (let i = 0; i < 4; i += 1) enter('a');
    vi.advanceTimersByTime(1_000);
    expect(reading()).toEqual([0, 1, 2, 3]);
    for (let i = 4; i < 100; i += 1) enter('a');
    const had = new Set<number>();
    for (let ms = 0; ms < 600; ms += 1) {
      vi.advanceTimersByTime(1);
      expect(reading()).toHaveLength(4);
      for (const i of reading()) had.add(i);
    }
    expect(had.size).toBe(100);
  });

  test('of one address take no turns of others, and what has sent something lately comes before what is idle', () => {
    const { enter, reading } = turnsOf();
    for (let i = 0; i < 300; i += 1) enter('many');
    vi.advanceTimersByTime(2_000);
    enter('one');
    const late = enter('many');
    // Every turn has one of each block; and where a block has several, every second one is for those that are not idle.
    for (let turn = 0; turn < 10; turn += 1) {
      vi.advanceTimersByTime(16);
      expect(reading()).toEqual(expect.arrayContaining([300, 301]));
      expect(reading()).toHaveLength(4);
    }
    late.turn.leave();
    expect(reading()).toContain(301);
  });

  test('are checked after each turn, and those of an address that may not read have none', () => {
    let allowed = true;
    const checked: number[] = [];
    const { enter, reading } = turnsOf((block) => block !== 'slow' || allowed);
    for (let i = 0; i < 6; i += 1) enter(i < 3 ? 'slow' : 'other', () => checked.push(i));
    vi.advanceTimersByTime(100);
    expect(new Set(checked)).toEqual(new Set([0, 1, 2, 3, 4, 5]));
    allowed = false;
    vi.advanceTimersByTime(100);
    expect(reading()).toEqual([3, 4, 5]);
  });

  test('are read as Node.js wants once they leave, and only in their turn before', () => {
    const { enter, entered } = turnsOf(() => false);
    for (let i = 0; i < 6; i += 1) enter('a');
    vi.advanceTimersByTime(100);
    const tls = carrier();
    const { turn, _handle } = entered[5] ?? enter('a');
    turn.serves({ _handle: tls._handle } as unknown as Socket);
    tls._handle.readStop();
    tls._handle.readStart();
    expect([tls._handle.reads, _handle.reads]).toEqual([false, false]);
    turn.leave();
    turn.leave();
    expect(_handle.reads).toBe(true);
    tls._handle.readStart();
    expect(tls._handle.reads).toBe(true);
  });
});

test('plain ones that are few are read without a timer; of many, those of one block delay no other, and Node.js still stops a body', () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const turns = new ReadTurns({ atOnce: 2, now: () => Date.now() });
  const enter = (block: string) => {
    const socket = carrier();
    const turn = turns.enter(socket as unknown as Socket, block);
    turn.serves(socket as unknown as Socket);
    return { turn, _handle: socket._handle };
  };
  const programs = [enter('programs'), enter('programs')];
  vi.advanceTimersByTime(1_000);
  expect([vi.getTimerCount(), programs.map(({ _handle }) => _handle.reads)]).toEqual([0, [true, true]]);
  programs[1]?.turn.leave();
  for (let i = 0; i < 10; i += 1) enter('strangers');
  for (let ms = 0; ms < 64; ms += 16) {
    vi.advanceTimersByTime(16);
    expect(programs[0]?._handle.reads).toBe(true);
  }
  // What Node.js has stopped is not read in its turn either.
  programs[0]?._handle.readStop();
  vi.advanceTimersByTime(100);
  expect(programs[0]?._handle.reads).toBe(false);
  programs[0]?._handle.readStart();
  vi.advanceTimersByTime(100);
  expect(programs[0]?._handle.reads).toBe(true);
});

test('of twenty TLS connections that send at the same time, a turn of the event loop reads four', async () => {
  const tls = createTlsServer(
    { key: readFileSync(`${folder}/central.key`, 'utf8'), chain: readFileSync(`${folder}/central.crt`, 'utf8') },
    10_000,
  );
  const turns = new ReadTurns();
  const inTurn: number[] = [];
  let [loopTurn, arrived] = [0, 0];
  const entered = new Map<number | undefined, ReadTurn>();
  tls.on('secureConnection', (socket) => {
    entered.get(socket.remotePort)?.serves(socket);
    socket.on('error', () => undefined);
    socket.on('data', () => {
      arrived += 1;
      inTurn[loopTurn] = (inTurn[loopTurn] ?? 0) + 1;
      // Of a loop turn, all that is read is read before this.
      if (inTurn[loopTurn] === 1) setImmediate(() => (loopTurn += 1));
    });
  });
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    tls.emit('connection', socket);
    const turn = turns.enter(socket, 'a', () => undefined);
    entered.set(socket.remotePort, turn);
    socket.once('close', () => turn.leave());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const clients = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const ca = readFileSync(`${folder}/root-ec.crt`);
      const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca });
      onTestFinished(() => void socket.destroy());
      await once(socket, 'secureConnect');
      return socket;
    }),
  );
  for (const client of clients) client.write('x');
  await vi.waitFor(() => expect(arrived).toBe(20), { timeout: 30_000 });
  expect(Math.max(...inTurn)).toBeLessThanOrEqual(4);
});

// Which frame of a session is sent first on a line that is slower than its log.
import { describe, expect, test } from 'vitest';
import { Outgoing } from '../../../shared/session/outgoing.ts';

/** A socket whose bytes the operating system takes when the test says so. */
class SlowSocket {
  readonly sent: string[] = [];
  readonly #waiting: { readonly bytes: number; readonly written: (() => void) | undefined }[] = [];

  get bufferedAmount(): number {
    return this.#waiting.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  send(text: string, written?: () => void): void {
    this.sent.push(text);
    this.#waiting.push({ bytes: text.length, written });
  }

  take(): void {
    this.#waiting.shift()?.written?.();
  }
}

const message = (name: string): string => name.padEnd(200 * 1024, '.');
const namesOf = (socket: SlowSocket): string[] => socket.sent.map((text) => text.replaceAll('.', ''));

describe('frames on their way out', () => {
  test('control frames overtake the messages that wait, and each kind keeps its order', () => {
    const socket = new SlowSocket();
    const outgoing = new Outgoing(socket);
    for (const name of ['m1', 'm2', 'm3', 'm4']) outgoing.send(message(name), 'messages');
    for (const name of ['c1', 'c2']) outgoing.send(name, 'control');
    expect(namesOf(socket)).toEqual(['m1', 'm2', 'c1', 'c2']);
    socket.take();
    expect(namesOf(socket)).toEqual(['m1', 'm2', 'c1', 'c2', 'm3']);
    outgoing.send(message('m5'), 'messages');
    outgoing.send('c3', 'control');
    for (let i = 0; i < 8; i += 1) socket.take();
    expect(namesOf(socket)).toEqual(['m1', 'm2', 'c1', 'c2', 'm3', 'c3', 'm4', 'm5']);
  });

  test('messages are sent at once while the socket has little to write, and behind large control frames too', () => {
    const socket = new SlowSocket();
    const outgoing = new Outgoing(socket);
    outgoing.send('c'.padEnd(1024 * 1024, '.'), 'control');
    outgoing.send('m1', 'messages');
    expect(namesOf(socket)).toEqual(['c', 'm1']);
    outgoing.send('m2', 'messages');
    expect(namesOf(socket)).toEqual(['c', 'm1']);
    socket.take();
    socket.take();
    expect(namesOf(socket)).toEqual(['c', 'm1', 'm2']);
  });

  test('messages that the operating system has taken hold nothing back: the next is sent behind any control frame', () => {
    const socket = new SlowSocket();
    const outgoing = new Outgoing(socket);
    outgoing.send('m1', 'messages');
    socket.take();
    outgoing.send('c'.padEnd(1024 * 1024, '.'), 'control');
    outgoing.send('m2', 'messages');
    expect(namesOf(socket)).toEqual(['m1', 'c', 'm2']);
  });

  test('a message never overtakes one that waits, also when the socket has room again', () => {
    const socket = new SlowSocket();
    const outgoing = new Outgoing(socket);
    outgoing.send('c'.padEnd(1024 * 1024, '.'), 'control');
    outgoing.send('m1', 'messages');
    outgoing.send('m2', 'messages');
    socket.take();
    outgoing.send('m3', 'messages');
    for (let i = 0; i < 3; i += 1) socket.take();
    expect(namesOf(socket)).toEqual(['c', 'm1', 'm2', 'm3']);
  });

  test('says when the operating system has a frame of messages, also of one that waited', () => {
    const socket = new SlowSocket();
    const outgoing = new Outgoing(socket);
    const written: string[] = [];
    for (const name of ['m1', 'm2', 'm3']) outgoing.send(message(name), 'messages', () => written.push(name));
    expect(written).toEqual([]);
    for (let i = 0; i < 3; i += 1) socket.take();
    expect(written).toEqual(['m1', 'm2', 'm3']);
  });

  test('sends nothing when it has stopped', () => {
    const socket = new SlowSocket();
    const outgoing = new Outgoing(socket);
    for (const name of ['m1', 'm2', 'm3']) outgoing.send(message(name), 'messages');
    outgoing.stop();
    outgoing.send('c1', 'control');
    for (let i = 0; i < 3; i += 1) socket.take();
    expect(namesOf(socket)).toEqual(['m1', 'm2']);
  });
});

// The WebSocket of an agent in tests of sessions: what Central sends is kept, what the agent sends is emitted.
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';

export class FakeSocket extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  bufferedAmount = 0;
  isPaused = true;
  /** As they were sent. */
  readonly texts: string[] = [];
  readonly sent: { type: string; [name: string]: unknown }[] = [];
  /** Called when the operating system has taken a frame; kept while `takes` is false. */
  readonly written: (() => void)[] = [];
  takes = true;
  closed: number | undefined;
  terminations = 0;

  /** As its users know it. */
  get webSocket(): WebSocket {
    return this as unknown as WebSocket;
  }

  send(text: string, written?: () => void): void {
    this.texts.push(text);
    this.sent.push(JSON.parse(text) as { type: string });
    if (written === undefined) return;
    if (this.takes) written();
    else this.written.push(written);
  }

  ping(): void {}

  close(code: number): void {
    this.closed = code;
    this.readyState = 2;
  }

  terminate(): void {
    this.terminations += 1;
    this.emit('close', 1006, Buffer.alloc(0));
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }
}

/** The TCP connection beneath it, with `more` of its members. */
export function fakeConnection(more: object = {}): Socket {
  const counters = { bytesRead: 0, bytesWritten: 0, writableLength: 0 };
  return Object.assign(new EventEmitter(), counters, more) as unknown as Socket;
}

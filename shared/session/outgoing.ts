// Sends the frames of one session in the order of their priority: control frames at once, messages while the socket has
// little to write. A control frame (and a ping) then waits behind a bounded number of bytes on a slow line, however
// large the window is.
import type { Priority } from '../delivery/sender.ts';

/** What it needs of a WebSocket. */
interface OutgoingSocket {
  /** Bytes that wait to be written. */
  readonly bufferedAmount: number;
  /** `written` is called when the operating system has taken the frame, and when the socket has failed. */
  send(text: string, written?: () => void): void;
}

interface QueuedFrame {
  readonly text: string;
  readonly onWritten: (() => void) | undefined;
}

/**
 * Messages wait while the socket has this much to write: 0.2 s at 10 Mbit/s, and enough that a fast line never runs
 * dry.
 */
const MAX_SOCKET_BYTES = 256 * 1024;

export class Outgoing {
  readonly #socket: OutgoingSocket;
  #queue: QueuedFrame[] = [];
  /** Frames of messages that the operating system has not taken yet: the next one that it takes calls `#flush`. */
  #unwritten = 0;
  #stopped = false;

  constructor(socket: OutgoingSocket) {
    this.#socket = socket;
  }

  /**
   * Bounded by the window of the sender (shared/delivery/sender.ts). `onWritten` is called when the operating system
   * has a frame.
   */
  send(text: string, priority: Priority, onWritten?: () => void): void {
    if (this.#stopped) return;
    if (priority === 'control') return this.#socket.send(text);
    if (this.#queue.length === 0 && this.#hasRoom()) this.#write({ text, onWritten });
    else this.#queue.push({ text, onWritten });
  }

  /** Nothing is sent any more; messages that wait stay in their log. */
  stop(): void {
    this.#stopped = true;
    this.#queue = [];
  }

  #hasRoom(): boolean {
    return this.#unwritten === 0 || this.#socket.bufferedAmount < MAX_SOCKET_BYTES;
  }

  #write({ text, onWritten }: QueuedFrame): void {
    this.#unwritten += 1;
    this.#socket.send(text, () => {
      this.#unwritten -= 1;
      onWritten?.();
      if (this.#queue.length > 0) this.#flush();
    });
  }

  #flush(): void {
    while (this.#hasRoom()) {
      const frame = this.#queue.shift();
      if (frame === undefined) return;
      this.#write(frame);
    }
  }
}

// Opens the local administration socket in the data folder, for the account of Central and root on this host, who can
// read the store anyway. Central also runs without it (path too long, name taken); the status then shows the problem.
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { isCoded, textOf } from '../../shared/errors.ts';
import { problemFault, problemOf, type Problem } from '../problems.ts';
import { openLocalSocket, type LocalSocket } from '../../shared/platform/local-socket.ts';

/** In the data folder; `queuegate` finds it there. */
export const LOCAL_SOCKET = 'central.sock';
const DATA_FOLDER_VARIABLE = 'QUEUEGATE_DATA_FOLDER';
/** More than an administrator and scripts need at once. */
const MAX_CONNECTIONS = 128;

interface LocalSocketOptions {
  /** Central's data folder, whose lock this process holds. */
  readonly folder: string;
  /** Passes a connection to the administration. */
  readonly accept: (socket: Socket) => void;
  readonly log: { error(facts: object, text: string): void };
  readonly now: () => number;
}

export class LocalAdministration {
  readonly #options: LocalSocketOptions;
  readonly #path: string;
  readonly #open = new Set<Socket>();
  readonly #server: Server;
  #socket: LocalSocket | undefined;
  #problem: Problem | undefined;

  constructor(options: LocalSocketOptions) {
    this.#options = options;
    this.#path = join(options.folder, LOCAL_SOCKET);
    this.#server = createServer((socket) => {
      this.#open.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => this.#open.delete(socket));
      options.accept(socket);
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** Never throws: failures are in `problems`. */
  async start(): Promise<void> {
    try {
      this.#socket = await openLocalSocket(this.#server, this.#path, { setting: DATA_FOLDER_VARIABLE });
      // After it listens, an error is one failed accept: the next one may succeed.
      this.#server.on('error', () => undefined);
    } catch (error) {
      const fault = isCoded(error) ? error : problemFault('local_socket_failed', { found: textOf(error) });
      this.#problem = problemOf(fault, this.#options.now());
      this.#options.log.error({ error: textOf(error) }, 'the socket of the administration could not be opened');
    }
  }

  /** True when the connection came over this socket, whose requests have no address. */
  has(socket: Socket): boolean {
    return this.#open.has(socket);
  }

  words(): string[] {
    return this.#server.listening ? [`The socket ${this.#path} serves the administration to this account only.`] : [];
  }

  problems(): Problem[] {
    return this.#problem === undefined ? [] : [this.#problem];
  }

  /** Stops accepting; `cut` ends requests in progress. */
  async stop(): Promise<void> {
    if (this.#server.listening) this.#server.close();
    await this.#socket?.remove();
  }

  cut(): void {
    for (const socket of this.#open) socket.destroy();
  }
}

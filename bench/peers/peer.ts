// What the bench knows of a peer: its name, how durable its acknowledgement is, and how its server is started and
// looked into.
import type { Target } from '../load/driver.ts';

export interface RunningPeer {
  readonly target: Target;
  readonly pid: number;
  /**
   * Turns the flow of commands on or off that the server itself makes (off: how many it sent); absent where a producer
   * sends them.
   */
  readonly flowDown?: (on: boolean) => Promise<number>;
  /** Ends the server. Then how many events it has stored; undefined where nothing is stored. */
  stop(): Promise<number | undefined>;
}

export interface StartOptions {
  /** For the memory figures: the server collects its garbage on SIGUSR2. */
  readonly collectable?: boolean;
  /** Writes CPU profiles into this folder. */
  readonly profileFolder?: string | undefined;
  /** Queuegate only: measures the delay of its event loop from one SIGUSR2 to the next, and writes it there. */
  readonly loopDelayFile?: string;
  /** Queuegate only: works on the data folder before Central starts. */
  readonly beforeStart?: (folder: string) => Promise<void>;
  /** Queuegate only: works on the data folder when Central has ended. */
  readonly beforeRemoval?: (folder: string) => Promise<void>;
}

export interface Peer {
  readonly name: string;
  /** The driver of its load (bench/load/). */
  readonly driver: 'queuegate' | 'raw' | 'nats' | 'mqtt';
  readonly version: string;
  /** What its acknowledgement of an event means. */
  readonly durability: string;
  start(options?: StartOptions): Promise<RunningPeer>;
}

export const COLLECT_ARGS = ['--expose-gc', '--import', `${import.meta.dirname}/../servers/collect-on-signal.ts`];
export const LOOP_DELAY_ARGS = ['--import', `${import.meta.dirname}/../servers/loop-delay.ts`];

// Records failed handshakes since the start of this process: one entry for each listener, cause and address, with its
// count. In memory and bounded, because strangers cause them; metrics count the same.
import { normalAddress } from '../parameters/address-access.ts';
import type { CodedError } from '../../shared/errors.ts';
import { setNewest } from '../../shared/recent-entries.ts';
import type { Metrics } from '../metrics.ts';

interface HandshakeFailure {
  /** ws, wss, https or http. */
  readonly listener: string;
  /** A code of docs/ERRORS.md. */
  readonly cause: string;
  readonly address: string;
  readonly count: number;
  readonly firstAt: number;
  readonly lastAt: number;
  /** What happened the last time, and the hint. */
  readonly detail: string;
  readonly hint: string;
}

interface FailureFilter {
  readonly listener?: string | undefined;
  readonly cause?: string | undefined;
  readonly address?: string | undefined;
}

/** Some 500 kB at most. A stranger with many addresses evicts others; the metrics still count them. */
const MAX_ENTRIES = 1000;
const MAX_TEXT = 512;

export class HandshakeFailures {
  readonly #counter: Metrics['instruments']['queuegate_handshake_failures_total'];
  readonly #now: () => number;
  /** In the order in which they last happened, oldest first. */
  readonly #entries = new Map<string, HandshakeFailure>();
  #dropped = 0;

  constructor(counter: Metrics['instruments']['queuegate_handshake_failures_total'], now: () => number) {
    this.#counter = counter;
    this.#now = now;
  }

  record(listener: string, fault: CodedError, from: string): void {
    const cause = fault.code;
    this.#counter.inc({ listener, cause });
    const address = normalAddress(from);
    const key = `${listener} ${cause} ${address}`;
    const known = this.#entries.get(key);
    const at = this.#now();
    const failure = {
      listener,
      cause,
      address,
      count: (known?.count ?? 0) + 1,
      firstAt: known?.firstAt ?? at,
      lastAt: at,
      detail: fault.message.slice(0, MAX_TEXT),
      hint: fault.hint.slice(0, MAX_TEXT),
    };
    if (setNewest(this.#entries, key, failure, MAX_ENTRIES)) this.#dropped += 1;
  }

  /** Most recent first. */
  list({ listener, cause, address }: FailureFilter): HandshakeFailure[] {
    const fits = (entry: HandshakeFailure): boolean =>
      (listener === undefined || entry.listener === listener) &&
      (cause === undefined || entry.cause === cause) &&
      (address === undefined || entry.address === normalAddress(address));
    return [...this.#entries.values()].toReversed().filter(fits);
  }

  /** How many entries were dropped for newer ones. */
  get dropped(): number {
    return this.#dropped;
  }
}

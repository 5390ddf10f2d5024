// Runs the connection to Central, and beside it one with another configuration that takes over with its welcome: until
// then the session goes on, and with it the old one is over before the new one begins. loop.ts decides when to dial
// again.
import type { InboxPort, OutboxPort } from '../../shared/delivery/log-interfaces.ts';
import type { Position } from '../../shared/wire/messages.ts';
import { agentFault } from '../errors.ts';
import { connectOnce, type ConnectionEnd, type DialPlan, type OnlineSession } from './connection.ts';
import type { Control } from './control.ts';
import { connectWithKeys } from './loop.ts';

interface TakeoverPorts {
  readonly outbox: OutboxPort;
  readonly inbox: InboxPort & { position(): Promise<Position | null> };
  readonly control: Control;
  readonly now: () => number;
  readonly onOnline: (online: OnlineSession, plan: DialPlan) => void;
}

/** A connection beside the session. */
export interface Attempt {
  /** True: it is the session now. False: it has ended, and the session before was not touched. */
  readonly welcomed: Promise<boolean>;
  readonly ended: Promise<ConnectionEnd>;
  /** Ends it; the loop dials again. */
  end(reason: Error): void;
}

interface Live {
  readonly session: OnlineSession;
  readonly plan: DialPlan;
  readonly line: AbortController;
}

export class Takeover {
  readonly #ports: TakeoverPorts;
  #live: Live | undefined;
  /** Of the connection that the loop has dialed, or that took over. */
  #line: AbortController | undefined;
  /** The attempt whose end the loop has not seen yet. */
  #attempt: Attempt | undefined;

  constructor(ports: TakeoverPorts) {
    this.#ports = ports;
  }

  /** The session that is open. */
  get live(): { readonly session: OnlineSession; readonly plan: DialPlan } | undefined {
    return this.#live;
  }

  /** Ends the connection that is dialed or open. */
  end(reason: Error): void {
    this.#line?.abort(reason);
  }

  /** For the loop: dials, and lives until the session is over, also that of an attempt which took it over. */
  async run(plan: DialPlan, signal: AbortSignal): Promise<ConnectionEnd> {
    const line = new AbortController();
    this.#line = line;
    let end = await this.#connect(plan, line, AbortSignal.any([signal, line.signal]));
    for (let attempt = this.#attempt; attempt !== undefined; attempt = this.#attempt) {
      // Central ends the old session before the welcome has arrived on the new line.
      if (!(await attempt.welcomed)) break;
      this.#attempt = undefined;
      end = await attempt.ended;
    }
    return end;
  }

  /** Dials beside the session; undefined: none is open. */
  attempt(plan: DialPlan, signal: AbortSignal): Attempt | undefined {
    const before = this.#live;
    if (before === undefined) return undefined;
    const line = new AbortController();
    const { promise: welcomed, resolve } = Promise.withResolvers<boolean>();
    let isWelcomed = false;
    const ended = this.#connect(plan, line, AbortSignal.any([signal, line.signal]), () => {
      // Its sender and its receiver stop here, before those of the new session start.
      this.#line?.abort(agentFault('taken_over', {}));
      this.#line = line;
      isWelcomed = true;
      resolve(true);
    }).finally(() => {
      if (isWelcomed) return;
      if (this.#attempt === attempt) this.#attempt = undefined;
      before.session.hold(false);
      resolve(false);
    });
    const attempt = { welcomed, ended, end: (reason: Error) => line.abort(reason) };
    this.#attempt = attempt;
    return attempt;
  }

  /**
   * `onWelcome`: for an attempt, which holds the commands of the session from its hello on: both logs have to agree
   * with it.
   */
  async #connect(
    plan: DialPlan,
    line: AbortController,
    signal: AbortSignal,
    onWelcome?: () => void,
  ): Promise<ConnectionEnd> {
    const { outbox, inbox, control, now, onOnline } = this.#ports;
    const isBeside = onWelcome !== undefined;
    try {
      return await connectWithKeys(
        plan,
        async (one) =>
          await connectOnce(
            one,
            {
              outbox,
              inbox: {
                begin: (begin) => inbox.begin(begin),
                append: (next, frames) => inbox.append(next, frames),
                position: () => {
                  if (isBeside) this.#live?.session.hold(true);
                  return inbox.position();
                },
              },
              control,
              now,
              ...(isBeside ? { onWelcome } : {}),
              onOnline: (session) => {
                this.#live = { session, plan: one, line };
                onOnline(session, one);
              },
            },
            signal,
          ),
      );
    } finally {
      if (this.#live?.line === line) this.#live = undefined;
    }
  }
}

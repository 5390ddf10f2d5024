// Records which commands expired at agents after they had been acknowledged to Central, and tells the agent when that
// is on disk. An agent repeats what it does not know to be recorded: across a kill of either side, once or more.
import { textOf } from '../../shared/errors.ts';
import type { ExpiredCommands as ExpiredFrame } from '../../shared/wire/messages.ts';
import type { Session } from '../sessions/session.ts';
import type { OutboxStore } from '../store/message-store.ts';

interface ExpiredCommandsNeeds {
  readonly outbox: Pick<OutboxStore, 'recordExpired'>;
  /** So many commands expired at agents. */
  readonly onRecorded: (count: number) => void;
  readonly log: { debug(facts: object, text: string): void };
  readonly now: () => number;
}

/** What an agent names that sends them. */
const CAPABILITY = 'expired';

export class ExpiredCommands {
  readonly #needs: ExpiredCommandsNeeds;

  constructor(needs: ExpiredCommandsNeeds) {
    this.#needs = needs;
  }

  /** Must not throw. Without an answer, the agent repeats the frame in its next session. */
  onFrame(session: Pick<Session, 'facts' | 'sendControl'>, { through, items }: ExpiredFrame): void {
    const { agentId, epoch, capabilities } = session.facts;
    if (!capabilities.includes(CAPABILITY)) return;
    const { outbox, onRecorded, log, now } = this.#needs;
    outbox.recordExpired(agentId, epoch, items, now()).then(
      (count) => {
        if (count > 0) onRecorded(count);
        session.sendControl({ type: 'expired-recorded', through });
      },
      (error: unknown) => log.debug({ agent: agentId, error: textOf(error) }, 'expired commands'),
    );
  }
}

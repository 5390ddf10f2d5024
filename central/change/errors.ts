// The error table of changes that may cut agents off and can be confirmed or rolled back.
import { defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const CHANGE_ERRORS = {
  would_cut_off_agents: {
    status: 409,
    text: 'The change would cut off {count}: {names}.',
    hint: 'Move them first, wait for them, or force the change (force=true, --force) if they may be lost. A dry run lists each with its reason.',
  },
  would_cut_off_administrator: {
    status: 409,
    text: 'The change would refuse requests from {address}, from where it is made, by {rule}.',
    hint: 'Add the address to that rule, make the change on the host of Central, or force it (force=true, --force), best with a confirmation (--confirm-within).',
  },
  change_pending: {
    status: 409,
    text: 'A change of the {subject} by {who} waits for its confirmation until {until}.',
    hint: 'Confirm it or roll it back first (queuegate changes confirm, queuegate changes rollback).',
  },
  change_unknown: {
    status: 404,
    text: 'The change {id} is unknown.',
    hint: 'List the changes (GET /api/v1/changes, queuegate changes list): Central remembers the pending ones and the last {most} that ended since its start.',
  },
  change_ended: {
    status: 409,
    text: 'The change {id} is {state} already.',
    hint: 'No action needed, or make the change again.',
  },
  share_not_met: {
    status: 409,
    text: 'Of {total} that were online before the change, {back} are back; the confirmation needs {needed}. Missing: {names}.',
    hint: 'Wait for them, roll the change back, or force the confirmation (--force) if they may be lost.',
  },
  confirm_over_new_connection: {
    status: 409,
    text: 'The change touched the administration over {listener}; its confirmation must come over a connection to it that was opened after the change.',
    hint: 'Send the confirmation to {listener} again over a new connection: that shows that you still have access.',
  },
} as const satisfies ErrorTable;

export const changeFault = defineErrors(CHANGE_ERRORS);

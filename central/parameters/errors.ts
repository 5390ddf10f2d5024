// The error table of the parameters, and the shape in which a change's faults are reported together.
import { CodedError, defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const PARAMETER_ERRORS = {
  parameters_invalid: {
    status: 422,
    text: 'The change has {count} and was not made; nothing changed.',
    hint: 'Correct what is listed and send the whole change again.',
  },
  parameter_unknown: { status: 404, text: 'There is no parameter "{name}".', hint: '{hint}' },
  parameter_group_unknown: { status: 404, text: 'There is no group "{name}".', hint: 'Groups are: {groups}.' },
  would_cut_off_agents: {
    status: 409,
    text: 'The change would cut off {count}: {names}.',
    hint: 'Move them first, or force the change (force: true, --force) if they may be lost. A dry run lists each with its reason.',
  },
  change_pending: {
    status: 409,
    text: 'A change by {who} waits for its confirmation until {until}.',
    hint: 'Confirm it or undo it first (queuegate parameters confirm, queuegate parameters undo).',
  },
  nothing_pending: {
    status: 409,
    text: 'No change waits for a confirmation.',
    hint: 'Look at the values: the change was confirmed, or undone at its deadline.',
  },
  share_not_met: {
    status: 409,
    text: 'Of {total} that were online before the change, {back} are back; the confirmation needs {needed}. Missing: {names}.',
    hint: 'Wait for them, undo the change, or force the confirmation (--force) if they may be lost.',
  },
  confirm_over_new_connection: {
    status: 409,
    text: 'The change touched the administration over {listener}; its confirmation must come over a connection to it that was opened after the change.',
    hint: 'Send the confirmation to {listener} again with a new connection: that shows that you can still get in.',
  },
} as const satisfies ErrorTable;

export const parameterFault = defineErrors(PARAMETER_ERRORS);

/** One thing that is wrong with a change. */
export interface ParameterFault {
  readonly parameter: string;
  /** What was found, as text. */
  readonly found: string;
  /** What is allowed, as text. */
  readonly allowed: string;
  /** The whole sentence. */
  readonly text: string;
}

/** The one answer to a change with faults: `parameters_invalid` with all of them. */
export class ParameterFaults extends CodedError {
  readonly errors: readonly ParameterFault[];

  constructor(errors: readonly ParameterFault[]) {
    super('parameters_invalid', PARAMETER_ERRORS.parameters_invalid, {
      count: errors.length === 1 ? 'a fault' : `${errors.length} faults`,
    });
    this.errors = errors;
  }
}

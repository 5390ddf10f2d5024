// The error table of the parameters, and the error that reports all faults of a change together.
import { CodedError, defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const PARAMETER_ERRORS = {
  parameters_invalid: {
    status: 422,
    text: 'The change has {count} and was not made; nothing changed.',
    hint: 'Correct what is listed and send the whole change again.',
  },
  parameter_unknown: { status: 404, text: 'There is no parameter "{name}".', hint: '{hint}' },
  parameter_group_unknown: { status: 404, text: 'There is no group "{name}".', hint: 'Groups are: {groups}.' },
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

/** All faults of a change in one error, `parameters_invalid`. */
export class ParameterFaults extends CodedError {
  readonly errors: readonly ParameterFault[];

  constructor(errors: readonly ParameterFault[]) {
    super('parameters_invalid', PARAMETER_ERRORS.parameters_invalid, {
      count: errors.length === 1 ? 'a fault' : `${errors.length} faults`,
    });
    this.errors = errors;
  }
}

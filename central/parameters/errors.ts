// The error table of the parameters, and the error that reports all faults of a change together.
import { CodedError, defineErrors, type ErrorTable, type ProblemDetails } from '../../shared/errors.ts';
import { pointerTo } from '../../shared/http/problem.ts';

export const PARAMETER_ERRORS = {
  parameters_invalid: {
    status: 422,
    text: 'The change has {count} and was not made; nothing changed.',
    hint: 'Correct what is listed and send the whole change again.',
  },
  change_in_progress: {
    status: 409,
    text: 'The node {node} makes another change of the parameters at this moment.',
    hint: 'Make the change again when that one has ended.',
  },
  node_cannot_apply: {
    status: 409,
    text: 'The node {node} cannot apply the change: {found} Nothing changed on any node.',
    hint: 'Remove the cause on the host of that node, or choose another value, and make the change again. A dry run says what each node answers.',
  },
  node_silent: {
    status: 503,
    text: 'The node {node} did not answer within {seconds} s whether it can apply the change. Nothing changed on any node.',
    hint: 'Look at that node (its log, "queuegate nodes list"), and restart or stop it if it does not work. Then make the change again.',
  },
  parameter_unknown: { status: 404, text: 'There is no parameter "{name}".', hint: '{hint}' },
} as const satisfies ErrorTable;

export const parameterFault = defineErrors(PARAMETER_ERRORS);

/** One thing that is wrong with a change. */
export interface ParameterFault {
  readonly parameter: string;
  /** What was found, as text. */
  readonly found: string;
  /** What is allowed, as text. */
  readonly allowed: string;
  /** The values that are allowed, where they are few. */
  readonly values?: readonly string[];
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

  /** Pointers into the merge patch of the change. */
  override get problem(): ProblemDetails {
    const entries = this.errors.map(({ parameter, found, text, values }) => ({
      pointer: pointerTo(`/${parameter}`),
      detail: text,
      allowed: values ?? null,
      found: found.slice(0, 64),
    }));
    return { entries };
  }
}

// The error table of the rotation of the authority.
import { defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const ROTATION_ERRORS = {
  rotation_wrong_phase: {
    status: 409,
    text: 'The rotation of the authority is {found}; {step} is for one that is {allowed}.',
    hint: 'See "queuegate ca status" for where it stands and what comes next.',
  },
  rotation_agents_missing: {
    status: 409,
    text: 'The new authority is not trusted yet by {count}: {names}.',
    hint: '"queuegate ca status" says why for each. With --force it signs all the same: agents that trust the one before still find the way, until that one is retired.',
  },
  rotation_still_needed: {
    status: 409,
    text: '{step} would leave behind {count}: {names}.',
    hint: '"queuegate ca status" says why for each: wait until they have come back and renewed, remove them, or go on with --force.',
  },
  rotation_nothing_to_confirm: {
    status: 409,
    text: 'The certificate that Central shows is from another authority (it was {origin}) and stays: nothing would be shown that agents could come back over.',
    hint: 'Switch without --confirm-within; or go back to a certificate of the own authority first: queuegate certificate generate',
  },
} as const satisfies ErrorTable;

export const rotationFault = defineErrors(ROTATION_ERRORS);

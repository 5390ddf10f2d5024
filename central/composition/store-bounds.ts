// Derives the bounds of the store from the parameters.
import type { StoreBounds } from '../store/space/bounds.ts';
import type { ParameterValues } from '../parameters/definitions.ts';

export function storeBounds(values: ParameterValues): StoreBounds {
  return {
    deadLettersPerAgent: values['deadLetters.maxPerAgent'],
    deadLetterBytesPerAgent: values['deadLetters.maxBytesPerAgent'],
    eventsPerDay: values['agents.eventsPerDay'],
    reserveBytes: values['store.reserveBytes'],
  };
}

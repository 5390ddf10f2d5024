// The English of the dialog before an act.
import { percent, plural } from '../format.ts';

export const PREFLIGHT_TEXTS = {
  why: 'Why',
  whatFirst: 'What to do first',
  address: 'Address',
  more: (count: number) => `And ${plural(count, 'agent')} more.`,
  cutsNone: 'No agent would be cut off.',
  timed: (minutes: number, share: number) =>
    `Roll back unless I confirm within ${plural(minutes, 'minute')}, with ${percent(share)} of the agents back`,
  file: 'File',
  fileTooLarge: 'Larger than 1 MB: not a file of certificates.',
  password: 'Password of the file (optional)',
} as const;

// The exit status of a command line, by the cause of its error: the same numbers in every program.
import { isCoded } from '../errors.ts';

export const EXIT_DONE = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
export const EXIT_UNREACHABLE = 3;
export const EXIT_NOT_ALLOWED = 4;
export const EXIT_NOT_FOUND = 5;
export const EXIT_REFUSED = 6;
export const EXIT_CONFLICT = 7;
export const EXIT_TIMEOUT = 8;
/** The exit code of a shell for a program that Ctrl-C ended. */
export const EXIT_CANCELED = 130;

/** Of an answer by its HTTP status. Any other: the command failed. */
const EXIT_OF_STATUS: Readonly<Record<number, number>> = {
  400: EXIT_REFUSED,
  401: EXIT_NOT_ALLOWED,
  403: EXIT_NOT_ALLOWED,
  404: EXIT_NOT_FOUND,
  409: EXIT_CONFLICT,
  410: EXIT_NOT_FOUND,
  412: EXIT_CONFLICT,
  413: EXIT_REFUSED,
  415: EXIT_REFUSED,
  422: EXIT_REFUSED,
  428: EXIT_CONFLICT,
  429: EXIT_UNREACHABLE,
  503: EXIT_UNREACHABLE,
};

/** `ofCode`: of what fails on this machine. */
export function exitStatusOf(error: unknown, ofCode: Readonly<Record<string, number>>): number {
  if (!isCoded(error)) return EXIT_FAILED;
  if (error.code === 'usage' || error.code === 'command_unknown') return EXIT_USAGE;
  return ofCode[error.code] ?? EXIT_OF_STATUS[error.status] ?? EXIT_FAILED;
}

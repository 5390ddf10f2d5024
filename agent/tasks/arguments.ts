// Checks the arguments that a requester gave to a task against its handler: the host of the agent decides, whatever
// Central accepted.
import { createContext, Script } from 'node:vm';
import type { TaskHandler } from './settings.ts';

/** Of all arguments of a task together: a pattern that backtracks must not hold up the agent. */
const MATCH_MS = 100;
const MATCHING =
  "const allowed = new RegExp(pattern, 'u'); while (at < given.length && allowed.test(given[at])) at += 1";

/** The arguments of the program; a sentence: they are not allowed. */
export function argumentsFor(handler: TaskHandler, given: readonly string[]): readonly string[] | string {
  const { arguments: mode, fixedArguments, argumentPattern } = handler;
  if (mode !== 'list' && given.length > 0)
    return `${given.length} arguments were given; the handler ${handler.name} takes none`;
  const unmatched = argumentPattern === null ? -1 : unmatchedIn(argumentPattern, given);
  if (unmatched !== -1) return `argument ${unmatched + 1} does not match ${argumentPattern}`;
  return [...fixedArguments, ...given];
}

/** The index of the first argument that the pattern does not match as a whole, within the time for all; -1: none. */
function unmatchedIn(pattern: string, given: readonly string[]): number {
  const context = createContext({ pattern: `^(?:${pattern})$`, given: [...given], at: 0 });
  try {
    new Script(MATCHING).runInContext(context, { timeout: MATCH_MS });
  } catch {
    // Out of time, or a pattern of another version of V8: this one does not match.
  }
  const { at } = context as { readonly at: number };
  return at < given.length ? at : -1;
}

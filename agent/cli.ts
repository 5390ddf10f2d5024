#!/usr/bin/env node
// Runs the command line of the agent (agent/cli/commands.ts), and prints its errors.
import { isCoded, textOf } from '../shared/errors.ts';
import { escapeLine } from '../shared/terminal/escape.ts';
import { EXIT_FAILED, EXIT_TIMEOUT } from '../shared/terminal/exit-status.ts';
import { PromptCanceled, SecretInput } from '../shared/terminal/secret-input.ts';
import { endWithReader, printFault } from '../shared/terminal/standard-streams.ts';
import { helpOf, UsageError } from './cli/command.ts';
import { COMMANDS, runCommand } from './cli/commands.ts';

/** One line for each part, except for the list of refused settings, which this program writes itself. */
function errorText(error: unknown): string {
  if (!isCoded(error)) return `error: ${escapeLine(textOf(error))}\n`;
  return `error: ${error.code === 'settings_refused' ? error.message : escapeLine(error.message)}\n  ${escapeLine(error.hint)}\n  (${error.code})\n`;
}

endWithReader();
try {
  process.exitCode = await runCommand(process.argv.slice(2), process.env, new SecretInput());
} catch (error) {
  if (error instanceof UsageError) {
    printFault(`error: ${escapeLine(error.message)}\n\n${helpOf(COMMANDS)}`);
    process.exitCode = 2;
  } else if (error instanceof PromptCanceled) {
    process.exitCode = 130;
  } else {
    printFault(errorText(error));
    process.exitCode = isCoded(error, 'enrollment_undecided') ? EXIT_TIMEOUT : EXIT_FAILED;
  }
}
// A daemon that could not start, or that has ended, must not stay because of what still listens: nothing would start it again.
if (process.argv[2] === 'start') process.exit();

#!/usr/bin/env node
// Runs the command line of the agent (agent/cli/commands.ts), and prints its errors.
import { isCoded, textOf } from '../shared/errors.ts';
import { escapeLine } from '../shared/terminal/escape.ts';
import { EXIT_CANCELED, EXIT_USAGE, exitStatusOf } from '../shared/terminal/exit-status.ts';
import { documentOf, lineFault, wantsJson } from '../shared/terminal/output.ts';
import { PromptCanceled, SecretInput } from '../shared/terminal/secret-input.ts';
import { endWithReader, printError, printFault } from '../shared/terminal/standard-streams.ts';
import { helpOf, UsageError } from './cli/command.ts';
import { COMMANDS, runCommand } from './cli/commands.ts';

/** One line for each part, except for the list of refused settings, which this program writes itself. */
function errorText(error: unknown): string {
  if (!isCoded(error)) return `error: ${escapeLine(textOf(error))}\n`;
  return `error: ${error.code === 'settings_refused' ? error.message : escapeLine(error.message)}\n  ${escapeLine(error.hint)}\n  (${error.code})\n`;
}

function documentText(error: unknown): string {
  return `${JSON.stringify(documentOf(error), null, 2)}\n`;
}

endWithReader();
try {
  process.exitCode = await runCommand(process.argv.slice(2), process.env, new SecretInput());
} catch (error) {
  const argv = process.argv.slice(2);
  const print = argv.includes('--no-color') ? printError : printFault;
  const asJson = wantsJson(argv, undefined);
  if (error instanceof PromptCanceled) {
    process.exitCode = EXIT_CANCELED;
  } else if (error instanceof UsageError) {
    const usage = lineFault('usage', { found: error.message, usage: 'queue-agent --help' });
    print(asJson ? documentText(usage) : `error: ${escapeLine(error.message)}\n\n${helpOf(COMMANDS)}`);
    process.exitCode = EXIT_USAGE;
  } else {
    print(asJson ? documentText(error) : errorText(error));
    process.exitCode = exitStatusOf(error);
  }
}
// A daemon that could not start, or that has ended, must not stay because of what still listens: nothing would start it
// again.
if (process.argv[2] === 'start' || process.argv[2] === 'runner') process.exit();

#!/usr/bin/env node
// queuegate: the administrator's command line. Speaks only REST; what it can do is in central/cli/.
import { buffer } from 'node:stream/consumers';
import { bodyText } from '../shared/delivery/body-text.ts';
import { canPrompt, SecretInput } from '../shared/terminal/secret-input.ts';
import {
  endWithReader,
  printError,
  printFault,
  printOut,
  printsToTerminal,
  printWithHeader,
  redrawOut,
  writeBytes,
} from '../shared/terminal/standard-streams.ts';
import { runCli } from './cli/run.ts';

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
endWithReader();

process.exitCode = await runCli(process.argv.slice(2), {
  environment: process.env,
  workingFolder: process.cwd(),
  out: (text, hasHeader) => (hasHeader ? printWithHeader : printOut)(`${text}\n`),
  error: (text, isFault) => (isFault ? printFault : printError)(`${text}\n`),
  bytes: writeBytes,
  redraw: (text, hasHeader) => redrawOut(`${text}\n`, hasHeader),
  terminal: printsToTerminal(),
  // 0: a terminal that does not say how wide it is.
  columns: (printsToTerminal() && process.stdout.columns) || undefined,
  secrets: new SecretInput(),
  canPrompt: canPrompt(),
  readStdin: async () => bodyText(await buffer(process.stdin)),
  signal: interrupted.signal,
});

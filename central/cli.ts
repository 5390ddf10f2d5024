#!/usr/bin/env node
// queuegate: the administrator's command line. Speaks only REST; what it can do is in central/cli/.
import { bodyText } from '../shared/delivery/body-text.ts';
import { canPrompt, promptSecret } from '../shared/prompt.ts';
import { printError, printOut, printsToTerminal } from '../shared/standard-streams.ts';
import { runCli } from './cli/run.ts';

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
// `queuegate events list | head`: the reader has seen enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

process.exitCode = await runCli(process.argv.slice(2), {
  environment: process.env,
  workingFolder: process.cwd(),
  out: (text) => printOut(`${text}\n`),
  error: (text) => printError(`${text}\n`),
  terminal: printsToTerminal(),
  ...(canPrompt() ? { prompt: promptSecret } : {}),
  async readStdin() {
    const chunks: Buffer[] = [];
    for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk as Uint8Array));
    return bodyText(Buffer.concat(chunks));
  },
  signal: interrupted.signal,
});

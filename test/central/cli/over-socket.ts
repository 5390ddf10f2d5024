// `queuegate` in the process of the test, over a socket as in Central's data folder.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { runCli } from '../../../central/cli/run.ts';
import { secretsFrom } from '../../shared/secrets.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

export type Queuegate = (
  line: string,
  how?: { readonly typed?: string; readonly terminal?: boolean },
) => Promise<{ readonly status: number; readonly out: string; readonly error: string }>;

/** A data folder with a socket as Central's, which leads to a server on loopback. */
export async function socketTo(url: string): Promise<string> {
  const folder = temporaryFolder();
  const server = createServer((socket) => {
    const beyond = connect(Number(new URL(url).port), '127.0.0.1');
    socket
      .on('error', () => beyond.destroy())
      .pipe(beyond.on('error', () => socket.destroy()))
      .pipe(socket);
  });
  onTestFinished(() => void server.close());
  await once(server.listen(join(folder, 'central.sock')), 'listening');
  return folder;
}

/** `typed`: the answer to a question. */
export async function queuegateFor(rest: {
  readonly url: string;
  readonly tokens: { readonly administrator: string };
}): Promise<Queuegate> {
  const folder = await socketTo(rest.url);
  return async (line, { typed, terminal = true } = {}) => {
    const [out, error]: [string[], string[]] = [[], []];
    const status = await runCli(line.split(' '), {
      environment: { QUEUEGATE_DATA_FOLDER: folder, QUEUEGATE_TOKEN: rest.tokens.administrator },
      workingFolder: folder,
      out: (text) => out.push(text),
      error: (text) => error.push(text),
      readStdin: async () => '',
      terminal,
      columns: undefined,
      secrets: secretsFrom(typed ?? ''),
      canPrompt: typed !== undefined,
      signal: new AbortController().signal,
    });
    return { status, out: out.join('\n'), error: error.join('\n') };
  };
}

// What the program of a task wrote: byte for byte, through cut connections, and on request while it is written.
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isCoded, textOf } from '../../../../shared/errors.ts';
import { beginSecretFile } from '../../../../shared/files/secret-file.ts';
import { EXIT_UNREACHABLE, exitStatusOf } from '../../../../shared/terminal/exit-status.ts';
import type { Tagged } from '../../client.ts';
import type { Command, CommandCall } from '../../command.ts';
import { cliFault } from '../../errors.ts';
import { recordOf, shown } from '../../print.ts';
import { waitForEnd } from '../../watching/wait.ts';
import { awaitedTask, isPassingState, pathOf, type Row } from './task-states.ts';

const CHANNELS = ['stdout', 'stderr'] as const;
type Channel = (typeof CHANNELS)[number];

/** Its program runs soon, unless the agent is away. */
const NOT_STARTED: ReadonlySet<string> = new Set(['queued', 'sent', 'accepted']);
const WAIT_SECONDS = 55;
/** Of an agent or a Central that starts again. */
const TRIES = 120;
const RETRY_MS = 1_000;
/** The report of the end may come some moments behind the last byte. */
const REPORT_SECONDS = 60;
const PASSING_CODES: ReadonlySet<string> = new Set(['agent_offline', 'task_output_failed', 'task_outputs_full']);

type Write = (bytes: Uint8Array) => Promise<void>;

export const outputCommand: Command = {
  name: 'tasks output',
  usage: 'TASK [--channel CHANNEL] [--follow] [--out FILE]',
  summary: 'what the program of a task wrote, byte for byte',
  help: 'It comes from the agent, which keeps it for 8 days; a connection that is cut is continued where it was. Of a task that has ended, the\nSHA-256 is compared with the report of the agent. On a terminal, what could act on it is escaped.',
  options: {
    channel: { type: 'string', value: 'CHANNEL', doc: 'stdout or stderr; stdout unless set' },
    follow: { type: 'boolean', doc: 'also what is written from now on, until the task has ended' },
    out: { type: 'string', value: 'FILE', doc: 'write it to this file (mode 0600) instead of the standard output' },
  },
  words: { least: 1, most: 1 },
  async run(call) {
    const channel = CHANNELS.find((one) => one === (call.text('channel') ?? 'stdout'));
    if (channel === undefined)
      throw call.complain(`--channel is "${call.text('channel')}"; allowed are ${CHANNELS.join(' and ')}`);
    const id = call.words[0] ?? '';
    const isFollowing = call.flag('follow');
    if (isFollowing) await startOf(call, id);
    const out = call.text('out');
    if (out === undefined) {
      await copyOutput(call, id, { channel, isFollowing, write: (bytes) => call.bytes('out', bytes) });
      return;
    }
    const file = resolve(call.workingFolder, out);
    const unfinished = await beginSecretFile(file, `${file}.unfinished`);
    try {
      const write: Write = async (bytes) => {
        await unfinished.handle.writeFile(bytes);
      };
      const bytes = await copyOutput(call, id, { channel, isFollowing, write });
      await unfinished.finish();
      call.answer({ file, bytes }, () => `Written to ${file} (${bytes} bytes, mode 0600).`);
    } catch (error) {
      await unfinished.discard();
      if (isCoded(error) || call.signal.aborted) throw error;
      throw cliFault('file_not_written', { file, found: textOf(error) }, error);
    }
  },
};

/** Both channels of a task as its program writes them, until it has ended; the task then. */
export async function followTask(call: CommandCall, id: string): Promise<Row> {
  const started = await startOf(call, id);
  if (started['startedAt'] !== null)
    await Promise.all([
      copyOutput(call, id, { channel: 'stdout', isFollowing: true, write: (bytes) => call.bytes('out', bytes) }),
      copyOutput(call, id, { channel: 'stderr', isFollowing: true, write: (bytes) => call.bytes('error', bytes) }),
    ]);
  return await waitForEnd(call, REPORT_SECONDS, awaitedTask(started));
}

/** Once its program was started, or will not be. Errors: those of the request. */
async function startOf(call: CommandCall, id: string): Promise<Row> {
  let known: Tagged | undefined;
  for (;;) {
    try {
      known = await call.client.changed(pathOf(id), known, WAIT_SECONDS);
      const task = recordOf(known.value);
      const state = shown(task['state']);
      const isWaiting = NOT_STARTED.has(state) || (state === 'canceling' && task['startedAt'] === null);
      if (!isWaiting) return task;
    } catch (error) {
      if (call.signal.aborted || exitStatusOf(error) !== EXIT_UNREACHABLE) throw error;
      await delay(RETRY_MS, undefined, { signal: call.signal });
    }
  }
}

interface Copying {
  readonly channel: Channel;
  readonly isFollowing: boolean;
  readonly write: Write;
}

/** The number of bytes. Errors: those of the request; task_output_changed. */
async function copyOutput(call: CommandCall, id: string, { channel, isFollowing, write }: Copying): Promise<number> {
  const hash = createHash('sha256');
  let offsetBytes = 0;
  for (let failures = 0; ;) {
    const before = offsetBytes;
    let isWriting = false;
    try {
      const query = { follow: isFollowing || undefined, offsetBytes: offsetBytes || undefined };
      const stream = await call.client.download(`${pathOf(id)}/output/${channel}`, { query }, 'GET');
      for await (const bytes of stream as AsyncIterable<Buffer>) {
        hash.update(bytes);
        offsetBytes += bytes.length;
        isWriting = true;
        await write(bytes);
        isWriting = false;
      }
      break;
    } catch (error) {
      failures = offsetBytes > before ? 1 : failures + 1;
      const mayPass = !isWriting && (isFollowing || offsetBytes > 0) && isPassing(error);
      if (call.signal.aborted || !mayPass || failures > TRIES) throw error;
      await delay(RETRY_MS, undefined, { signal: call.signal });
    }
  }
  await assertReported(call, id, { channel, isFollowing, sha256: hash.digest('hex'), bytes: offsetBytes });
  return offsetBytes;
}

/** A connection that is cut, or an agent that is away for a while. */
function isPassing(error: unknown): boolean {
  if (!isCoded(error)) return true;
  return PASSING_CODES.has(error.code) || exitStatusOf(error) === EXIT_UNREACHABLE;
}

/** Of a task that has ended: it is what the agent reported. Errors: task_output_changed. */
async function assertReported(
  call: CommandCall,
  id: string,
  found: { readonly channel: Channel; readonly isFollowing: boolean; readonly sha256: string; readonly bytes: number },
): Promise<void> {
  const first = recordOf(await call.client.request('GET', pathOf(id)));
  const isOver = !isPassingState(first['state']);
  if (!isOver && !found.isFollowing) return;
  const task = isOver ? first : await waitForEnd(call, REPORT_SECONDS, awaitedTask(first));
  const { sha256, keptBytes, truncated } = recordOf(task[found.channel]);
  // Null: the report does not have it.
  if (typeof sha256 !== 'string') return;
  // What was read while the task ran may be less than all of it.
  if (!found.isFollowing && found.bytes < Number(keptBytes)) return;
  if (sha256 !== found.sha256) throw cliFault('task_output_changed', { task: id, channel: found.channel });
  if (truncated === true)
    call.notice(`The program wrote more to ${found.channel}: the agent keeps ${shown(keptBytes)} bytes.`);
}

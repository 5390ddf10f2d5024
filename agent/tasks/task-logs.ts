// Sends what programs wrote to Central, by a stream for each channel that Central reads: from the byte that it asks for,
// never more than the report of the task counts, and on request as it is written, until the task has ended.
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { textOf } from '../../shared/errors.ts';
import type { Stream } from '../../shared/session/streams/stream.ts';
import { isFinalTaskState } from '../../shared/wire/tasks/frames.ts';
import { readTaskLogOpen, type TaskLogHead, type TaskLogOpen } from '../../shared/wire/tasks/log-stream.ts';
import type { TaskRecords, TaskRow } from '../store/tasks.ts';
import { openTaskFile } from './files.ts';

interface TaskLogsNeeds {
  /** Of a task; `account`: to which its files belong. */
  readonly place: (key: string) => { readonly folder: string; readonly account: number | undefined };
  readonly records: Pick<TaskRecords, 'get'>;
  readonly log: { debug(facts: object, text: string): void };
}

/** Of Central's 64 streams: some must be left for services. */
export const MAX_TASK_LOGS = 8;
const CHUNK_BYTES = 64 * 1024;
/** How soon what a program writes is sent. */
const LOOK_MS = 200;
/** The supervisor opens the files soon after the task counts as running. */
const FILE_LOOKS = 10;

export class TaskLogs {
  readonly #needs: TaskLogsNeeds;
  #count = 0;

  constructor(needs: TaskLogsNeeds) {
    this.#needs = needs;
  }

  /** Central has opened a stream of the kind `task-log`. */
  onStream(stream: Stream, open: Readonly<Record<string, unknown>>): void {
    const wanted = readTaskLogOpen(open);
    if (wanted === undefined) return stream.reset('task_log_invalid');
    if (this.#count >= MAX_TASK_LOGS) return stream.reset('task_log_busy');
    this.#count += 1;
    stream.once('close', () => (this.#count -= 1));
    // Central sends nothing but the end of its side.
    stream.resume();
    this.#send(stream, wanted).catch((error: unknown) => {
      this.#needs.log.debug({ error: textOf(error), key: wanted.key }, 'the output of a task could not be sent');
      stream.reset('task_log_failed');
    });
  }

  async #send(stream: Stream, wanted: TaskLogOpen): Promise<void> {
    const file = await this.#fileOf(wanted);
    if (file === undefined) return stream.reset('task_log_unknown');
    try {
      const head = await this.#keptIn(file, wanted);
      if (head === undefined) return stream.reset('task_log_unknown');
      if (wanted.offsetBytes > head.keptBytes) return stream.reset('task_log_offset');
      stream.sendHead(head);
      await pipeline(this.#sent(stream, file, wanted, head), stream);
    } finally {
      await file.close();
    }
  }

  /** Undefined: the task is unknown, has not been started, or its folder is gone. */
  async #fileOf({ key, channel }: TaskLogOpen): Promise<FileHandle | undefined> {
    const { folder, account } = this.#needs.place(key);
    for (let looks = 1; ; looks += 1) {
      const row = await this.#needs.records.get(key);
      if (row === undefined || row.startedAt === null) return undefined;
      const file = await openTaskFile(join(folder, channel), account);
      if (file !== undefined || isFinalTaskState(row.state) || looks >= FILE_LOOKS) return file;
      await delay(LOOK_MS);
    }
  }

  /** Undefined: its row is gone, or the task wrote no such file. */
  async #keptIn(file: FileHandle, { key, channel }: TaskLogOpen): Promise<TaskLogHead | undefined> {
    const row = await this.#needs.records.get(key);
    if (row === undefined) return undefined;
    if (!isFinalTaskState(row.state)) return { keptBytes: await sizeWithin(file, row), hasEnded: false };
    // As reported: the program may have changed the file since.
    const output = row[channel];
    return output === null ? undefined : { keptBytes: output.keptBytes, hasEnded: true };
  }

  /** As `#bytes`; the code of a failure is set before `pipeline` destroys the stream. */
  async *#sent(
    stream: Stream,
    ...from: [file: FileHandle, wanted: TaskLogOpen, first: TaskLogHead]
  ): AsyncGenerator<Buffer, void, undefined> {
    try {
      yield* this.#bytes(stream, ...from);
    } catch (error) {
      stream.reset('task_log_failed');
      throw error;
    }
  }

  /** Errors: the file has fewer bytes than it had. */
  async *#bytes(
    stream: Stream,
    file: FileHandle,
    wanted: TaskLogOpen,
    first: TaskLogHead,
  ): AsyncGenerator<Buffer, void, undefined> {
    let at = wanted.offsetBytes;
    for (let kept: TaskLogHead | undefined = first; kept !== undefined;) {
      while (at < kept.keptBytes) {
        // A new one each time: the stream keeps what it has no credit for.
        const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, kept.keptBytes - at));
        const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
        if (bytesRead === 0) throw new Error(`the file ends at ${at} of ${kept.keptBytes} bytes`);
        at += bytesRead;
        yield chunk.subarray(0, bytesRead);
      }
      if (!wanted.follow || kept.hasEnded) return;
      await delay(LOOK_MS);
      // Nothing is yielded while a program is silent: without this look, a reader that has left would keep its place.
      if (stream.destroyed) return;
      kept = await this.#keptIn(file, wanted);
    }
    throw new Error('the task is gone');
  }
}

/** The supervisor keeps one byte more than the bound where there was more (output.ts). */
async function sizeWithin(file: FileHandle, { limits }: TaskRow): Promise<number> {
  return Math.min((await file.stat()).size, limits?.maxOutputBytes ?? 0);
}

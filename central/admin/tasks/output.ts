// /tasks/{task}/output/{channel}: what the program of a task wrote, byte for byte. An answer that ends too early, or is
// not what the report of the agent says, cuts the connection: it must not look like a whole one.
import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { Readable, Transform } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { whenClosed } from '../../../shared/http/closed.ts';
import { isFinalTaskState, type TaskOutput } from '../../../shared/wire/tasks/frames.ts';
import { TASK_CHANNELS, type TaskChannel } from '../../../shared/wire/tasks/log-stream.ts';
import { requestedPart } from '../../listeners/downloads/range.ts';
import type { TaskRecord } from '../../store/tasks/task-store.ts';
import { taskId } from '../../store/tasks/task-steps.ts';
import { taskFault } from '../../tasks/errors.ts';
import type { OpenOutput } from '../../tasks/outputs.ts';
import { VIEWER, reads, type Access } from '../access.ts';
import { queryOf } from '../checked.ts';
import type { AdminServices } from '../services.ts';

const readOutput = queryOf(
  Type.Object(
    {
      follow: Type.Optional(Type.Boolean()),
      offsetBytes: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
    },
    { additionalProperties: false },
  ),
);

type OfOutput = { Params: { task: string; channel: string } };
type Services = Pick<AdminServices, 'streams' | 'taskOutputs'>;

/** How often it is looked whether the answer may go on, and whether its reader takes it. */
const LOOK_MS = 15_000;
/** A reader that takes nothing of what is ready for so long is cut: it keeps a place from others. */
const READ_LOOKS = 2;
/** The same without anything to take: a reader that has vanished is not seen otherwise. A client continues. */
const SILENT_LOOKS = 40;

export function outputRoute(
  app: FastifyInstance,
  services: Services,
  access: Access,
  visible: (request: FastifyRequest<OfOutput>) => Promise<TaskRecord>,
): void {
  const options = { ...reads(VIEWER, { query: readOutput }), onError: undescribed };
  app.get<OfOutput>('/tasks/:task/output/:channel', options, async (request, reply) => {
    const task = await visible(request);
    const channel = channelOf(request.params.channel, task);
    const { follow = false, offsetBytes = 0 } = readOutput(request.query);
    void reply.type('application/octet-stream').header('cache-control', 'no-store');
    const known = isFinalTaskState(task.state) ? task[channel] : null;
    const part = known === null ? undefined : partOf(request, reply, task, known, offsetBytes);
    if (part !== undefined) void reply.header('content-length', String(part.to - part.from));
    if (request.method === 'HEAD') return await reply.send(Readable.from([]));
    const kept = part === undefined || known === null ? undefined : keptHere(known, part);
    if (kept !== undefined) return await reply.send(kept);
    const { tokenId } = access.callerOf(request);
    const { who, from: place } = access.actorOf(request);
    const from = part?.from ?? offsetBytes;
    const output = await services.taskOutputs.open(task, {
      channel,
      offsetBytes: from,
      follow,
      tokenId,
      caller: { who, from: place },
    });
    const dueBytes = part !== undefined ? part.to - part.from : follow ? undefined : output.keptBytes - from;
    if (dueBytes !== undefined) void reply.header('content-length', String(dueBytes));
    const isWhole = known !== null && dueBytes === known.keptBytes;
    const checked = checking(task, output.content, { dueBytes, sha256: isWhole ? known.sha256 : undefined });
    lookAfter(request, reply.raw, checked, { services, access });
    // What is written is followed from now on, however long it is silent.
    if (follow) reply.raw.once('pipe', () => reply.raw.flushHeaders());
    return await reply.send(checked.content);
  });
}

/** What was said of the output is not true of the problem that is answered in its place. */
function undescribed(_request: unknown, reply: FastifyReply, _error: unknown, done: () => void): void {
  for (const name of ['etag', 'accept-ranges']) void reply.removeHeader(name);
  // Of a part that is not there, it says how long the output is.
  if (!String(reply.getHeader('content-range')).startsWith('bytes */')) void reply.removeHeader('content-range');
  done();
}

/** Errors: task_channel_unknown. */
function channelOf(found: string, task: TaskRecord): TaskChannel {
  const channel = TASK_CHANNELS.find((one) => one === found);
  if (channel !== undefined) return channel;
  throw taskFault('task_channel_unknown', {
    task: taskId(task),
    found: found.slice(0, 64),
    allowed: TASK_CHANNELS.join(', '),
  });
}

interface Part {
  readonly from: number;
  readonly to: number;
}

/** Of the output of a task that has ended. Errors: task_output_offset_invalid. */
function partOf(
  { headers }: FastifyRequest,
  reply: FastifyReply,
  task: TaskRecord,
  { keptBytes, sha256 }: TaskOutput,
  offsetBytes: number,
): Part {
  const tag = `"${sha256}"`;
  // With a place of its own, the answer is not the whole that the tag and a range are about.
  if (offsetBytes === 0) void reply.headers({ etag: tag, 'accept-ranges': 'bytes' });
  const invalid = (offset: number | string): Error => {
    void reply.header('content-range', `bytes */${keptBytes}`);
    return taskFault('task_output_offset_invalid', { task: taskId(task), offset: String(offset) });
  };
  if (offsetBytes > keptBytes) throw invalid(offsetBytes);
  const part = offsetBytes > 0 ? undefined : requestedPart(headers, keptBytes, tag);
  if (part === null) throw invalid(String(headers.range).slice(0, 64));
  if (part === undefined) return { from: offsetBytes, to: keptBytes };
  void reply.code(206).header('content-range', `bytes ${part.from}-${part.to - 1}/${keptBytes}`);
  return part;
}

/** What the report has already, which needs no agent. */
function keptHere({ keptBytes, tail }: TaskOutput, { from, to }: Part): Buffer | undefined {
  const bytes = Buffer.from(tail, 'base64');
  const begin = keptBytes - bytes.length;
  return from < begin ? undefined : bytes.subarray(from - begin, to - begin);
}

interface Checked {
  readonly content: Readable;
  /** What its reader has taken. */
  readonly takenBytes: () => number;
}

/** Ends with an error after fewer bytes than due, or with others; more than due are not passed on. */
function checking(
  task: TaskRecord,
  source: OpenOutput['content'],
  { dueBytes, sha256 }: { readonly dueBytes: number | undefined; readonly sha256: string | undefined },
): Checked {
  // Before the first byte it is the answer.
  const failed = (found: string, cause?: unknown): Error =>
    taskFault('task_output_failed', { agent: task.agent?.name ?? '', task: taskId(task), found }, cause);
  const hash = sha256 === undefined ? undefined : createHash('sha256');
  let taken = 0;
  // Where the whole is compared, its end waits for that: with all bytes of its length, an answer is whole to its reader.
  let held: Buffer | undefined;
  const content = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const part = dueBytes === undefined ? chunk : chunk.subarray(0, dueBytes - taken);
      if (part.length === 0) return done();
      taken += part.length;
      if (hash === undefined) this.push(part);
      else {
        hash.update(part);
        if (held !== undefined) this.push(held);
        held = part;
      }
      // A part in the middle is over: what is behind it is not wanted.
      if (taken === dueBytes && hash === undefined) this.push(null);
      done();
    },
    flush(done) {
      if (dueBytes !== undefined && taken < dueBytes) return done(failed(`${taken} of ${dueBytes} bytes came`));
      if (hash !== undefined && hash.digest('hex') !== sha256) return done(failed('it is not what it has reported'));
      done(null, held);
    },
  });
  source.once('error', (error) => content.destroy(failed('it sends no more', error)));
  content.once('close', () => source.destroy());
  source.pipe(content);
  return { content, takenBytes: () => taken };
}

/** Cuts the answer when its token ends, Central stops, or nothing of it is taken any more. */
function lookAfter(
  request: FastifyRequest,
  response: ServerResponse,
  { content, takenBytes }: Checked,
  { services: { streams }, access }: { readonly services: Services; readonly access: Access },
): void {
  let [looks, before] = [0, 0];
  const assertCurrent = (): void => {
    if (streams.isStopping) return void response.destroy();
    access.recheck(request).catch(() => response.destroy());
  };
  const timer = setInterval(() => {
    looks = takenBytes() === before ? looks + 1 : 0;
    before = takenBytes();
    if (looks >= (response.writableNeedDrain ? READ_LOOKS : SILENT_LOOKS)) return void response.destroy();
    assertCurrent();
  }, LOOK_MS);
  const leave = streams.enter(assertCurrent);
  whenClosed(response, () => {
    clearInterval(timer);
    leave();
    content.destroy();
  });
}

// The database thread's side: receives calls, runs them, answers. The caller defines what the calls do.
import type { MessagePort } from 'node:worker_threads';
import type { CodedError } from '../../errors.ts';
import { databaseFault, isFatal } from '../errors.ts';
import { GroupCommit, type CallCost, type Outcome, type Work } from '../group-commit.ts';
import { packError, type Answer, type FromWorker, type Methods, type Request, type ToWorker } from './protocol.ts';

interface WriterOptions {
  readonly methods: Methods;
  /** Runs a batch in one transaction (shared/sqlite/transaction.ts). */
  readonly execute: (batch: readonly Work[]) => Outcome[];
  readonly failure: (error: unknown) => CodedError;
  /** Of a transaction; default: that of GroupCommit. */
  readonly maxBatchCalls?: number;
  /** Closes the database; after the last call, or after the failure. */
  readonly close: () => void;
}

/**
 * Serves a thread that writes, in groups. The grouping is here and not at the event loop's end, so that the next batch
 * is at hand when a commit ends, however busy the event loop is.
 */
export function serveWriter(port: MessagePort, options: WriterOptions): void {
  const group = new GroupCommit({
    execute: async (batch) => {
      const begun = performance.now();
      const outcomes = options.execute(batch);
      post(port, { kind: 'committed', ms: performance.now() - begun });
      return outcomes;
    },
    failure: options.failure,
    ...(options.maxBatchCalls === undefined ? {} : { maxBatchCalls: options.maxBatchCalls }),
    onFailure(error) {
      post(port, { kind: 'failed', error: packError(error) });
      end(port, options.close);
    },
  });
  serve(
    port,
    options.methods,
    (work, cost) => group.run(work, cost),
    async () => {
      await group.stop();
      end(port, options.close);
    },
  );
}

interface ReaderOptions {
  readonly methods: Methods;
  readonly failure: (error: unknown) => CodedError;
  readonly close: () => void;
}

/** Serves a thread that only reads: each call by itself, with a snapshot of its own that ends with it. */
export function serveReader(port: MessagePort, options: ReaderOptions): void {
  const read = async (work: Work): Promise<unknown> => {
    try {
      return work();
    } catch (error) {
      // A page that cannot be read now will not be written right either.
      if (isFatal(error)) post(port, { kind: 'failed', error: packError(options.failure(error)) });
      throw isFatal(error) ? options.failure(error) : error;
    }
  };
  serve(port, options.methods, read, async () => end(port, options.close));
}

/** Tells the other end that the thread could not start. */
export function refuse(port: MessagePort, error: unknown): void {
  post(port, { kind: 'refused', error: packError(error) });
  port.close();
}

/** Memory of answers that is handed over. */
const handedOver = new WeakSet<ArrayBuffer>();

/** Marks the answer of a call: its memory is handed over to the caller and not copied. Nothing here may use it then. */
export function handOver(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  handedOver.add(bytes.buffer);
  return bytes;
}

function isHandedOver(value: unknown): value is Uint8Array<ArrayBuffer> {
  return value instanceof Uint8Array && value.buffer instanceof ArrayBuffer && handedOver.has(value.buffer);
}

function serve(
  port: MessagePort,
  methods: Methods,
  run: (work: Work, cost: CallCost) => Promise<unknown>,
  stop: () => Promise<void>,
): void {
  let answers: Answer[] = [];
  const answer = (one: Answer): void => {
    // The promises of one batch settle in one go: behind the last of them all answers leave together.
    if (answers.push(one) > 1) return;
    queueMicrotask(() => {
      const moved = answers.flatMap((each) => (each.ok && isHandedOver(each.value) ? [each.value.buffer] : []));
      post(port, { kind: 'answers', answers }, moved);
      answers = [];
    });
  };
  const take = async ({ id, method, args, cost }: Request): Promise<void> => {
    try {
      const call = methods[method];
      if (call === undefined) throw databaseFault('store_defect', { found: `no call ${method}` });
      // As the caller's types have them.
      answer({ id, ok: true, value: await run(() => call(...(args as never[])), cost) });
    } catch (error) {
      answer({ id, ok: false, error: packError(error) });
    }
  };
  port.on('message', (message: ToWorker) => {
    if (message.kind === 'stop') void stop();
    else for (const request of message.calls) void take(request);
  });
  post(port, { kind: 'ready' });
}

function end(port: MessagePort, close: () => void): void {
  try {
    close();
  } finally {
    // Behind the answers that still wait for their microtask. A closed port lets the thread end.
    setImmediate(() => port.close());
  }
}

function post(port: MessagePort, message: FromWorker, transfer: ArrayBuffer[] = []): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  port.postMessage(message, transfer);
}

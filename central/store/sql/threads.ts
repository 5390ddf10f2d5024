// What the calls of the store need of the threads of an engine: one that changes something, and one that reads.
import type { WorkerHost } from '../../../shared/sqlite/worker/host.ts';
import type { Methods } from '../../../shared/sqlite/worker/protocol.ts';
import type { Reads } from './reads.ts';
import type { Writes } from './writes.ts';

type Calls<M extends Methods> = Pick<WorkerHost<M>, 'batches' | 'call' | 'onCommit' | 'waiting'>;

export type Writer = Calls<Writes>;
export type Reader = Calls<Reads>;

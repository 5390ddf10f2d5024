// Starts Central from the build, with agents enrolled, and counts what its store holds when it has ended.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { VERSION } from '../../shared/version.ts';
import type { Installation, RunningCentral } from '../installation.ts';
import { OURS } from '../result.ts';
import { COLLECT_ARGS, LOOP_DELAY_ARGS, type Peer, type RunningPeer, type StartOptions } from './peer.ts';

export interface RunningQueuegate extends RunningPeer {
  readonly central: RunningCentral;
}

export interface QueuegatePeer extends Peer {
  /** The folder of its build. */
  readonly dist: string;
  start(options?: StartOptions): Promise<RunningQueuegate>;
}

export function queuegatePeer(installation: Installation, name = OURS): QueuegatePeer {
  return {
    name,
    driver: 'queuegate',
    dist: installation.dist,
    version: VERSION,
    durability:
      'on disk at Central before the acknowledgement (SQLite, WAL, synchronous=FULL: fdatasync per group of messages); deduplicated by (source, id)',
    async start(options = {}) {
      const nodeArgs = [
        ...(options.collectable === true ? COLLECT_ARGS : []),
        ...(options.profileFolder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profileFolder}`]),
        ...(options.loopDelayFile === undefined ? [] : LOOP_DELAY_ARGS),
      ];
      const central = await installation.startCentral({
        nodeArgs,
        ...(options.loopDelayFile === undefined ? {} : { env: { LOOP_DELAY_FILE: options.loopDelayFile } }),
        ...(options.beforeStart === undefined ? {} : { beforeStart: options.beforeStart }),
      });
      const ca = String(await central.rest('GET', '/ca/trust-bundle.pem'));
      return {
        central,
        target: {
          url: `wss://localhost:${central.ports.wss}`,
          ca,
          agentsFile: installation.agentsFile,
          restUrl: `https://localhost:${central.ports.https}`,
          token: central.token,
        },
        pid: central.program.pid,
        async stop() {
          await central.program.stop();
          const stored = eventsIn(join(central.folder, 'central.db'));
          await options.beforeRemoval?.(central.folder);
          await rm(central.folder, { recursive: true, force: true });
          return stored;
        },
      };
    },
  };
}

function eventsIn(path: string): number {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return Number(database.prepare('SELECT coalesce(sum(count), 0) AS events FROM event_run').get()?.['events']);
  } finally {
    database.close();
  }
}

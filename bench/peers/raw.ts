// Starts the raw peer: the limit of the wire, and with fsyncs the limit of wire and disk.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child } from '../child.ts';
import type { Credentials } from '../credentials.ts';
import { RAW } from '../result.ts';
import type { RawServer } from '../servers/raw.ts';
import { COLLECT_ARGS, type Peer } from './peer.ts';

/** A command and its answer are two commits at Central, and the second cannot begin before the first is on disk. */
export const COMMITS_IN_A_ROW = 2;

export function rawPeer(credentials: Credentials, wsVersion: string): Peer {
  return peerOf(credentials, {
    name: RAW,
    wsVersion,
    syncs: 0,
    durability: 'none: frames are acknowledged unread, nothing is stored (the limit of the wire)',
  });
}

/** Only echoes are synced: it is the limit of a command and its answer. */
export function syncedRawPeer(credentials: Credentials, wsVersion: string): Peer {
  return peerOf(credentials, {
    name: `${RAW}, synced`,
    wsVersion,
    syncs: COMMITS_IN_A_ROW,
    durability: `each echo waits for ${COMMITS_IN_A_ROW} fsyncs in a row, of 4 KiB each (the limit of wire and disk)`,
  });
}

function peerOf(
  credentials: Credentials,
  {
    name,
    wsVersion,
    syncs,
    durability,
  }: { readonly name: string; readonly wsVersion: string; readonly syncs: number; readonly durability: string },
): Peer {
  return {
    name,
    driver: 'raw',
    version: `ws ${wsVersion}, TLS 1.3`,
    durability,
    async start(options = {}) {
      const folder = await mkdtemp(join(tmpdir(), 'queuegate-bench-raw-'));
      const child = new Child<RawServer>('servers/raw.ts', {
        execArgv: options.collectable === true ? COLLECT_ARGS : [],
      });
      const port = await child.call(
        'listen',
        { key: credentials.key, chain: credentials.chain },
        { file: join(folder, 'synced'), times: syncs },
      );
      return {
        target: { url: `wss://localhost:${port}`, ca: credentials.root },
        pid: child.pid,
        flowDown: (on) => child.call('flowDown', on),
        async stop() {
          await child.stop();
          await rm(folder, { recursive: true, force: true });
          return undefined;
        },
      };
    },
  };
}

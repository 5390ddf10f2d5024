// Starts nats-server with JetStream in files, over WebSocket with TLS, when it is installed.
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Credentials } from '../credentials.ts';
import { connectNats } from '../load/nats.ts';
import { Program } from '../process.ts';
import { packageVersion } from './aedes.ts';
import type { Peer } from './peer.ts';

type Sync = 'default' | 'always';

/**
 * JetStream as it comes, and where the server knows it with `sync_interval: always`; a sentence for each that is left
 * out.
 */
export function natsPeers(credentials: Credentials): (Peer | string)[] {
  const found = spawnSync('nats-server', ['--version'], { encoding: 'utf8' });
  const version = /v(\d+)\.(\d+)\.\d+/.exec(found.stdout ?? '');
  if (version === null)
    return ['NATS JetStream is left out: there is no nats-server (Debian: apt-get install nats-server).'];
  if (packageVersion('@nats-io/nats-core') === undefined)
    return ['NATS JetStream is left out: the packages of bench/ are not installed (npm ci --prefix bench).'];
  const [text, major, minor] = version;
  const knowsSync = Number(major) > 2 || Number(minor) >= 10;
  return [
    natsPeer(credentials, text, 'default'),
    knowsSync
      ? natsPeer(credentials, text, 'always')
      : `NATS JetStream with sync_interval: always is left out: nats-server ${text} does not know it (2.10 does).`,
  ];
}

function natsPeer(credentials: Credentials, version: string, sync: Sync): Peer {
  return {
    name: sync === 'default' ? 'NATS JetStream' : 'NATS JetStream, sync always',
    driver: 'nats',
    version: `nats-server ${version}, @nats-io ${packageVersion('@nats-io/nats-core')}`,
    durability:
      sync === 'default'
        ? 'written to files before the acknowledgement, but not on disk: it syncs every two minutes by default; file storage, one replica'
        : 'on disk before the acknowledgement (sync_interval: always); file storage, one replica',
    async start() {
      const folder = await mkdtemp(join(tmpdir(), 'queuegate-bench-nats-'));
      await writeFile(join(folder, 'key.pem'), credentials.key, { mode: 0o600 });
      await writeFile(join(folder, 'chain.pem'), credentials.chain);
      await writeFile(join(folder, 'nats.conf'), configuration(folder, sync));
      const program = new Program('nats-server', ['-c', join(folder, 'nats.conf')]);
      const [, port] = await program.printed(/Listening for websocket clients on wss:\/\/127\.0\.0\.1:(\d+)/);
      await program.printed(/Server is ready/);
      const target = { url: `wss://localhost:${port}`, ca: credentials.root };
      const line = await connectNats(target);
      const manager = await line.manager();
      await manager.streams.add({ name: 'UP', subjects: ['up.>'], storage: 'file' });
      // A command is gone once it is acknowledged, and a full stream refuses its producer: as our outbox.
      await manager.streams.add({
        name: 'DOWN',
        subjects: ['down.>'],
        storage: 'file',
        retention: 'workqueue',
        max_msgs: 50_000,
        discard: 'new',
      });
      return {
        target,
        pid: program.pid,
        async stop() {
          const { state } = await manager.streams.info('UP');
          await line.connection.close();
          await program.stop();
          await rm(folder, { recursive: true, force: true });
          return state.messages;
        },
      };
    },
  };
}

function configuration(folder: string, sync: Sync): string {
  return `
    host: 127.0.0.1
    port: -1
    websocket { host: 127.0.0.1, port: -1, compression: false, tls { cert_file: "${folder}/chain.pem", key_file: "${folder}/key.pem" } }
    jetstream { store_dir: "${folder}/jetstream"${sync === 'always' ? ', sync_interval: always' : ''} }
  `;
}

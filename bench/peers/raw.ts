// Starts the raw peer.
import { Child } from '../child.ts';
import type { Credentials } from '../credentials.ts';
import type { RawServer } from '../servers/raw.ts';
import { COLLECT_ARGS, type Peer } from './peer.ts';

export function rawPeer(credentials: Credentials, wsVersion: string): Peer {
  return {
    name: 'raw ws',
    driver: 'raw',
    version: `ws ${wsVersion}, TLS 1.3`,
    durability: 'none: frames are acknowledged unread, nothing is stored (the limit of the wire)',
    async start(options = {}) {
      const child = new Child<RawServer>('servers/raw.ts', { execArgv: options.collectable === true ? COLLECT_ARGS : [] });
      const port = await child.call('listen', { key: credentials.key, chain: credentials.chain });
      return {
        target: { url: `wss://localhost:${port}`, ca: credentials.root },
        pid: child.pid,
        flowDown: (on) => child.call('flowDown', on),
        async stop() {
          await child.stop();
          return undefined;
        },
      };
    },
  };
}

// Starts Aedes, when it is installed. One subscriber with a session that is kept is away: so the broker has to keep
// each event.
import { createRequire } from 'node:module';
import { Child } from '../child.ts';
import type { Credentials } from '../credentials.ts';
import { connectMqtt } from '../load/mqtt.ts';
import type { AedesServer } from '../servers/aedes.ts';
import type { Peer } from './peer.ts';

export function aedesPeer(credentials: Credentials): Peer | string {
  const version = packageVersion('aedes');
  if (version === undefined || packageVersion('mqtt') === undefined)
    return 'Aedes is left out: the packages of bench/ are not installed (npm ci --prefix bench).';
  return {
    name: 'Aedes',
    driver: 'mqtt',
    version: `aedes ${version}, mqtt ${packageVersion('mqtt')}`,
    durability:
      'in memory only: QoS 1 is acknowledged once the message is kept for one subscriber that is away; nothing survives the process',
    async start() {
      const child = new Child<AedesServer>('servers/aedes.ts');
      const port = await child.call('listen', { key: credentials.key, chain: credentials.chain });
      const target = { url: `wss://localhost:${port}`, ca: credentials.root };
      const away = await connectMqtt(target, 'central', false);
      await away.subscribeAsync('up/#', { qos: 1 });
      await away.endAsync();
      return {
        target,
        pid: child.pid,
        async stop() {
          await child.stop();
          return undefined;
        },
      };
    },
  };
}

/** Of a package of bench/package.json; undefined when it is not installed. */
export function packageVersion(name: string): string | undefined {
  try {
    const stated: unknown = createRequire(import.meta.url)(`../node_modules/${name}/package.json`);
    return typeof stated === 'object' && stated !== null && 'version' in stated ? String(stated.version) : undefined;
  } catch {
    return undefined;
  }
}

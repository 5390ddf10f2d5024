// A load process: the driver of one peer, served to the bench.
import { serveCalls } from '../child.ts';
import type { LoadDriver } from './driver.ts';

async function driverOf(peer: string | undefined): Promise<LoadDriver> {
  switch (peer) {
    case 'queuegate':
      return new (await import('./queuegate.ts')).QueuegateLoad();
    case 'queuegate-reporting':
      return new (await import('./queuegate.ts')).QueuegateLoad({ reports: true });
    case 'raw':
      return new (await import('./raw.ts')).RawLoad();
    case 'nats':
      return new (await import('./nats.ts')).NatsLoad();
    case 'mqtt':
      return new (await import('./mqtt.ts')).MqttLoad();
    default:
      throw new Error(`no driver for ${peer}`);
  }
}

serveCalls(await driverOf(process.argv[2]));

// The interface of subscriptions as calls to the two database threads.
import type { WorkerHost } from '../../../../shared/sqlite/worker/host.ts';
import type { SubscriptionStore } from '../../subscriptions/subscription-store.ts';
import type { Reads } from '../threads/reads.ts';
import type { Writes } from '../threads/writes.ts';

export function subscriptionCalls(writer: WorkerHost<Writes>, reader: WorkerHost<Reads>): SubscriptionStore {
  return {
    create: (subscription, audit) => writer.call('createSubscription', [audit, subscription]),
    list: () => reader.call('listSubscriptions', []),
    change: (id, change, version, audit) => writer.call('changeSubscription', [audit, id, change, version]),
    remove: (id, audit) => writer.call('removeSubscription', [audit, id]),
    record: (id, epoch, progress) => writer.call('recordProgress', [id, epoch, progress], { lazy: true }),
    deliveries: ({ id, before, limit }) =>
      reader.call('listDeliveries', [id, before ?? Number.MAX_SAFE_INTEGER, limit]),
  };
}

// The interface of subscriptions as calls to the two database threads.
import type { Reader, Writer } from '../threads.ts';
import type { SubscriptionStore } from '../../subscriptions/subscription-store.ts';

export function subscriptionCalls(writer: Writer, reader: Reader): SubscriptionStore {
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

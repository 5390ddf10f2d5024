// Opens the subscriptions to events, with their key and the parameter that allows addresses.
import type { Logger } from 'pino';
import type { AgentDirectory } from '../agents/directory.ts';
import type { EventHub } from '../messaging/event-hub.ts';
import type { ParameterState } from '../parameters/state.ts';
import type { Pki } from '../pki/open-pki.ts';
import type { Store } from '../store/store.ts';
import { openSecrets } from './signature.ts';
import { Subscriptions } from './subscriptions.ts';

export function openSubscriptions({
  store,
  pki,
  hub,
  agents,
  parameters,
  log,
  now,
}: {
  readonly store: Pick<Store, 'inbox' | 'subscriptions'>;
  readonly pki: Pick<Pki, 'keyMaterial'>;
  readonly hub: EventHub;
  readonly agents: AgentDirectory;
  readonly parameters: Pick<ParameterState, 'values'>;
  readonly log: Logger;
  readonly now: () => number;
}): { readonly subscriptions: Subscriptions } {
  return {
    subscriptions: new Subscriptions({
      store: store.subscriptions,
      inbox: store.inbox,
      hub,
      agents,
      secrets: () => openSecrets({ keyMaterial: pki.keyMaterial, now }),
      allowed: () => parameters.values()['webhooks.allowedAddresses'],
      log,
      now,
    }),
  };
}

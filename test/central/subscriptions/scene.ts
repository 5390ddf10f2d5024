// Subscriptions over a real store, with receivers that are real HTTPS servers under an authority of the test.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { EventHub } from '../../../central/messaging/event-hub.ts';
import { openSqliteStore } from '../../../central/store/sqlite/sqlite-store.ts';
import type { Store } from '../../../central/store/store.ts';
import { createSecrets } from '../../../central/subscriptions/signature.ts';
import { Subscriptions, type SubscriptionsNeeds } from '../../../central/subscriptions/subscriptions.ts';
import { framesOf } from '../../shared/delivery/frames.ts';
import { makeBank, type Bank } from '../pki/server/bank.ts';
import { message, online } from '../store/samples.ts';

export const ADMINISTRATOR = { who: 'admin', from: '192.0.2.1' };

export interface Delivered {
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly events: readonly { readonly id: string; readonly queuegateagent: string }[];
}

/** What a receiver does with a request; undefined: 204. */
export type Answer = (response: ServerResponse, number: number) => void | Promise<void>;

export interface Receiver {
  readonly url: string;
  /** What came with each request, in order. */
  readonly requests: Delivered[];
  answer: Answer | undefined;
  stop(): Promise<void>;
}

let bank: Bank | undefined;

/** The one of this test, whose folder goes with it. */
export function authority(): Bank {
  if (bank === undefined) {
    bank = makeBank(['localhost', '127.0.0.1']);
    onTestFinished(() => (bank = undefined));
  }
  return bank;
}

export async function startReceiver(port = 0, by: Bank = authority()): Promise<Receiver> {
  const { certificate, key } = by.issue(`receiver-${Math.random().toString(36).slice(2)}`);
  const requests: Delivered[] = [];
  const receiver: { answer: Answer | undefined } = { answer: undefined };
  const server = createServer({ cert: `${certificate}${by.intermediate.certificate}`, key }, (request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const body = Buffer.concat(pieces).toString('utf8');
      requests.push({ headers: request.headers, body, events: JSON.parse(body) as Delivered['events'] });
      if (receiver.answer === undefined) response.writeHead(204).end();
      else void receiver.answer(response, requests.length);
    });
  });
  await once(server.listen(port, '127.0.0.1'), 'listening');
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  onTestFinished(stop);
  const url = `https://localhost:${(server.address() as AddressInfo).port}/hook`;
  return Object.assign(receiver, { url, requests, stop });
}

export interface Scene {
  readonly store: Store;
  readonly subscriptions: Subscriptions;
  readonly waits: number[];
  readonly parameters: { allowed: string[] };
  /** Appends events of an agent. */
  append(agentId: string, events: readonly { readonly id: string; readonly [name: string]: unknown }[]): Promise<void>;
  create(
    target: string,
    more?: Partial<Parameters<Subscriptions['create']>[0]> & { readonly after?: number | 'newest' | 'oldest' },
  ): ReturnType<Subscriptions['create']>;
  /** Another Central on the same store: the one before stops. */
  restart(): Promise<Subscriptions>;
}

/** Attempts that failed wait a moment only. */
export async function start(needs: Partial<SubscriptionsNeeds> = {}): Promise<Scene> {
  const folder = mkdtempSync(join(tmpdir(), 'subscriptions-'));
  const store = await openSqliteStore({
    folder,
    deduplicationMs: 7 * 86_400_000,
    onFailure: (error) => {
      throw error;
    },
  });
  const hub = new EventHub(store.inbox, 20);
  const waits: number[] = [];
  const parameters = { allowed: ['127.0.0.1', '::1'] };
  const open = (): Subscriptions =>
    new Subscriptions({
      store: store.subscriptions,
      inbox: store.inbox,
      hub,
      agents: { idsWith: async () => new Set() },
      secrets: async () => createSecrets(Buffer.alloc(32, 7)),
      allowed: () => parameters.allowed,
      log: { error: () => undefined },
      now: Date.now,
      timing: {
        timeoutMs: 2_000,
        sleep: async (ms, signal) => {
          waits.push(ms);
          await new Promise<void>((resolve) => {
            const timer = setTimeout(resolve, 20);
            signal.addEventListener('abort', () => (clearTimeout(timer), resolve()));
          });
        },
      },
      ...needs,
    });
  const all: Subscriptions[] = [open()];
  await all[0]?.start();
  onTestFinished(async () => {
    for (const one of all) await one.stop();
    await store.stop();
    rmSync(folder, { recursive: true });
  });
  const epochs = new Map<string, { readonly epoch: number; next: number }>();
  return {
    store,
    get subscriptions() {
      return all.at(-1) as Subscriptions;
    },
    waits,
    parameters,
    async append(agentId, events) {
      let agent = epochs.get(agentId);
      if (agent === undefined) epochs.set(agentId, (agent = { epoch: await online(store, agentId), next: 1 }));
      const items = events.map((event) => {
        const json = JSON.stringify({ specversion: '1.0', source: '/test', type: 'test.thing', ...event });
        return { kind: 'message', message: message(event.id, { json }) } as const;
      });
      const first = agent.next;
      agent.next += items.length;
      await store.inbox.append(agentId, agent.epoch, first, framesOf(first, items), Date.now());
      hub.notify();
    },
    async create(target, { after = 'newest', ...more } = {}) {
      const settings = {
        name: 'tickets',
        target,
        ca: authority().root.certificate,
        filter: { type: null, source: null, agentId: null, label: null },
        ...more,
      };
      return await all.at(-1)!.create(settings, after, ADMINISTRATOR);
    },
    async restart() {
      await all.at(-1)?.stop();
      const next = open();
      all.push(next);
      await next.start();
      return next;
    },
  };
}

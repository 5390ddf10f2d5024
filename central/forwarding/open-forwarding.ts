// Opens what one node does for the agents of another: the certificate of this node, the port for other nodes, and the way
// to theirs. With one Central process only sessions of its own are asked.
import type { Logger } from 'pino';
import { textOf } from '../../shared/errors.ts';
import type { CentralConfig } from '../config.ts';
import type { Pki } from '../pki/open-pki.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { NodeRecord } from '../store/nodes/node-store.ts';
import type { Store } from '../store/store.ts';
import { AgentStreams } from './agent-streams.ts';
import { NodeCalls } from './node-calls.ts';
import { NodeCertificate } from './node-certificate.ts';
import { NodeListener } from './node-listener.ts';

/** How often the certificate of this node is looked at, which lives for a day. */
const LOOK_MS = 15 * 60_000;

interface ForwardingNeeds {
  readonly config: Pick<CentralConfig, 'bindAddress' | 'nodeAddress'>;
  readonly store: Pick<Store, 'agents' | 'nodes'>;
  readonly pki: Pick<Pki, 'authority'>;
  readonly sessions: Pick<Sessions, 'of'>;
  /** As they were last heard of. */
  readonly nodes: () => readonly NodeRecord[];
  readonly log: Logger;
  readonly now: () => number;
}

export interface Forwarding {
  /** Errors: port_taken, port_refused. */
  start(): Promise<void>;
  /** The authority may have changed: the certificate of this node is to be one that the other nodes trust. */
  follow(): void;
  /** No node is served any more. */
  stop(): void;
}

interface OpenedForwarding {
  /** Streams to agents, wherever their sessions are. */
  readonly agentStreams: AgentStreams;
  readonly forwarding: Forwarding;
}

export async function openForwarding(needs: ForwardingNeeds): Promise<OpenedForwarding> {
  const { config, store, pki, sessions, nodes, log, now } = needs;
  const { agents } = store;
  if (store.nodes === undefined) {
    const agentStreams = new AgentStreams({ sessions, agents, others: undefined });
    return {
      agentStreams,
      forwarding: { start: () => Promise.resolve(), follow: () => undefined, stop: () => undefined },
    };
  }
  const { authority } = pki;
  const { self } = store.nodes;
  const certificate = await NodeCertificate.make({ authority, node: self, now });
  const calls = new NodeCalls({ self, certificate, authority });
  const listener =
    config.nodeAddress === undefined
      ? undefined
      : new NodeListener({
          port: portOf(config.nodeAddress),
          bindAddresses: config.bindAddress === undefined ? [] : [config.bindAddress],
          certificate,
          authority,
          nodes,
          sessions,
          log,
        });
  let looks: NodeJS.Timeout | undefined;
  const renew = async (): Promise<void> => {
    calls.keep(
      new Set(nodes().flatMap(({ address, state }) => (address === null || state !== 'alive' ? [] : address))),
    );
    if (await certificate.renew()) listener?.show();
  };
  const follow = (): void => {
    renew().catch((error: unknown) =>
      log.error({ error: textOf(error) }, 'the certificate of this node could not be renewed'),
    );
  };
  return {
    agentStreams: new AgentStreams({ sessions, agents, others: { self: self.name, nodes, calls } }),
    forwarding: {
      async start() {
        await listener?.start();
        looks ??= setInterval(follow, LOOK_MS).unref();
      },
      follow,
      stop() {
        clearInterval(looks);
        listener?.stop();
        calls.stop();
      },
    },
  };
}

function portOf(address: string): number {
  const { port } = new URL(address);
  return port === '' ? 443 : Number(port);
}

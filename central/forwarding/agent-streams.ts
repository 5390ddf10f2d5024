// Opens a stream to an agent, at whichever node its session is: here, or at another node, which is asked once.
import type { Duplex } from 'node:stream';
import type { Session } from '../sessions/session.ts';
import type { AgentRecord, AgentStore } from '../store/agent-store.ts';
import type { NodeRecord } from '../store/nodes/node-store.ts';
import { forwardingFault } from './errors.ts';
import type { NodeCalls, StreamCaller, StreamOrder } from './node-calls.ts';

/** Emits `head` with what the agent has answered, before its data; ends with StreamReset where the other side gives up. */
export interface AgentStream extends Duplex {
  reset(code: string, error?: Error): void;
}

/** A stream, or why there is none: the agent has no session, no streams, or as many as are allowed. */
type StreamAnswer =
  | { readonly kind: 'opened'; readonly stream: AgentStream; readonly agentName: string }
  | { readonly kind: 'offline' | 'too-old' | 'full' };

type LocalSession = Pick<Session, 'facts' | 'hasStreams' | 'isOpen' | 'openStream'>;

/** Other nodes. */
interface NodesOfStreams {
  /** The name of this node. */
  readonly self: string;
  /** As they were last heard of. */
  readonly nodes: () => readonly NodeRecord[];
  readonly calls: Pick<NodeCalls, 'open'>;
}

interface AgentStreamsOptions {
  readonly sessions: { of(agentId: string): LocalSession | undefined };
  readonly agents: Pick<AgentStore, 'get'>;
  /** Undefined: this process has all sessions. */
  readonly others: NodesOfStreams | undefined;
}

export class AgentStreams {
  readonly #options: AgentStreamsOptions;

  constructor(options: AgentStreamsOptions) {
    this.#options = options;
  }

  /** Errors: node_unreachable, node_address_missing, agent_moved. */
  async open(agentId: string, open: object, caller: StreamCaller): Promise<StreamAnswer> {
    const here = this.#here(agentId, open);
    if (here !== undefined) return here;
    const { others } = this.#options;
    return others === undefined ? { kind: 'offline' } : await this.#elsewhere(others, { agentId, open, caller });
  }

  #here(agentId: string, open: object): StreamAnswer | undefined {
    const session = this.#options.sessions.of(agentId);
    if (session?.isOpen !== true) return undefined;
    if (!session.hasStreams) return { kind: 'too-old' };
    const stream = session.openStream(open);
    return stream === undefined ? { kind: 'full' } : { kind: 'opened', stream, agentName: session.facts.agentName };
  }

  async #elsewhere({ self, nodes, calls }: NodesOfStreams, order: StreamOrder): Promise<StreamAnswer> {
    let asked: string | undefined;
    // Where the agent has moved meanwhile, the record says so the second time. Nothing was done at the first node.
    for (;;) {
      const agent = await this.#options.agents.get(order.agentId);
      const name = nodeOf(agent);
      if (agent === undefined || name === undefined) return { kind: 'offline' };
      if (name === self) return this.#here(order.agentId, order.open) ?? { kind: 'offline' };
      if (name === asked) throw forwardingFault('agent_moved', { node: name });
      const node = nodes().find((one) => one.name === name);
      // The sessions of a node that is not alive are over.
      if (node?.state !== 'alive') return { kind: 'offline' };
      const answer = await calls.open(node, order);
      if (answer === 'agent_too_old') return { kind: 'too-old' };
      if (answer === 'streams_full') return { kind: 'full' };
      if (answer !== 'agent_elsewhere') return { kind: 'opened', stream: answer, agentName: agent.name };
      if (asked !== undefined) throw forwardingFault('agent_moved', { node: name });
      asked = name;
    }
  }
}

/** The node that holds its session; undefined: none is open. */
function nodeOf(agent: Pick<AgentRecord, 'session'> | undefined): string | undefined {
  const session = agent?.session ?? null;
  return session === null || session.endedAt !== null ? undefined : session.node;
}

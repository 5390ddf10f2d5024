// The agents that are online, as changes see them that may cut agents off: those of this node, and those of other nodes
// as the store has them.
import { isLoopback } from '../../auth/address-rules.ts';
import type { OnlineAgent, OnlineAgents } from '../../change/agents.ts';
import type { AgentRecord, AgentStore } from '../../store/agent-store.ts';
import type { NodeRecord } from '../../store/nodes/node-store.ts';
import type { SessionFacts } from '../session.ts';

const PAGE = 1_000;

interface OnlineAgentsNeeds {
  readonly sessions: { online(): Promise<readonly SessionFacts[]> };
  readonly agents: Pick<AgentStore, 'list'>;
  readonly nodes: { readonly self: string; list(): readonly NodeRecord[] };
}

/** `isWanted`: of which they are. */
export function onlineAgentsOfAll(
  { sessions, agents, nodes }: OnlineAgentsNeeds,
  isWanted: (facts: { readonly transport: 'ws' | 'wss' }) => boolean = () => true,
): OnlineAgents {
  return {
    async online() {
      const here = (await sessions.online()).filter(isWanted).map(onlineHere);
      const others = new Set(
        nodes.list().flatMap(({ name, state }) => (name !== nodes.self && state === 'alive' ? [name] : [])),
      );
      if (others.size === 0) return here;
      const found = [...here];
      const known = new Set(here.map(({ agentId }) => agentId));
      for (let after: string | undefined; ;) {
        const page = await agents.list({
          limit: PAGE,
          states: ['online', 'degraded'],
          ...(after === undefined ? {} : { after }),
        });
        for (const agent of page) {
          const session = agent.session;
          if (session === null || known.has(agent.id) || !others.has(session.node) || !isWanted(session)) continue;
          found.push(onlineElsewhere(agent, session));
        }
        after = page.at(-1)?.name;
        if (after === undefined) return found;
      }
    },
  };
}

/** One that reaches a proxy unencrypted counts as unencrypted. */
function onlineHere(facts: SessionFacts): OnlineAgent {
  const { agentId, agentName, listener, transport, address, peer, loopback, certificate, since } = facts;
  const plainHop = listener === 'ws' && !isLoopback(peer);
  return {
    agentId,
    name: agentName,
    listener,
    transport: plainHop ? 'ws' : transport,
    address,
    loopback: loopback && !plainHop,
    byKeyAlone: certificate === null,
    since,
  };
}

/** An agent on the host of another node is none of this host: it counts. */
function onlineElsewhere(
  { id: agentId, name, certificate }: AgentRecord,
  { transport, address, since }: NonNullable<AgentRecord['session']>,
): OnlineAgent {
  const byKeyAlone = certificate === null;
  return { agentId, name, listener: transport, transport, address, loopback: false, byKeyAlone, since };
}

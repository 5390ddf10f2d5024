// Streams of sessions that are all here, as those of one Central process.
import { AgentStreams } from '../../../central/forwarding/agent-streams.ts';

export function streamsHere(sessionOf: (agentId: string) => object | undefined): AgentStreams {
  return new AgentStreams({
    sessions: { of: (id) => sessionOf(id) as never },
    agents: { get: async () => undefined },
    others: undefined,
  });
}

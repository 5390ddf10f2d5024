// /nodes: the processes of this Central. With the store in the data folder there is one, which leads.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { auditEntry } from '../../audit.ts';
import { nodeFault } from '../../store/nodes/errors.ts';
import type { NodeRecord } from '../../store/nodes/node-store.ts';
import { ADMINISTRATOR, VIEWER, reads, type Access } from '../access.ts';
import { bodyOf, queryOf } from '../checked.ts';
import { pageMembers, pageOf, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';

const strict = { additionalProperties: false } as const;
const readPage = queryOf(Type.Object(pageMembers, strict));
const readDrain = bodyOf(Type.Object({ cancel: Type.Optional(Type.Boolean()) }, strict));

type OfNode = { Params: { node: string } };

export function nodeRoutes(app: FastifyInstance, { nodes, now, store }: AdminServices, access: Access): void {
  /** As the store has them now: what this process heard of last may be a beat old. */
  const all = async (): Promise<readonly NodeRecord[]> => (await store.nodes?.news())?.nodes ?? nodes.list();
  /** Errors: node_unknown. */
  const find = async (name: string): Promise<NodeRecord> => {
    const found = (await all()).find((node) => node.name === name);
    if (found === undefined) throw nodeFault('node_unknown', { name: name.slice(0, 64) });
    return found;
  };
  /** Agents have somewhere to go. Errors: node_alone. */
  const assertOther = async (name: string): Promise<void> => {
    const isOther = (node: NodeRecord): boolean =>
      node.name !== name && node.state === 'alive' && node.drainedAt === null;
    if (!(await all()).some(isOther)) throw nodeFault('node_alone', { name });
  };

  app.get('/nodes', reads(VIEWER, { query: readPage }), async (request, reply) =>
    pageOf(request, reply, readPage(request.query), await all(), { position: ({ name }) => name, json: nodeJson }),
  );

  app.get<OfNode>('/nodes/:node', VIEWER, async (request) => nodeJson(await find(request.params.node)));

  app.post<OfNode>('/nodes/:node/drain', reads(ADMINISTRATOR, { body: readDrain }), async (request, reply) => {
    const { cancel = false } = readDrain(request.body);
    const node = await find(request.params.node);
    if (!cancel) await assertOther(node.name);
    const entry = auditEntry(access.actorOf(request), 'nodes.drain', { node: node.name, cancel }, now());
    // Without a store for several there is nothing to cancel, and no other node to drain it to.
    const drained = (await store.nodes?.drain(node.name, !cancel, entry)) ?? node;
    return await reply.code(202).send(nodeJson(drained));
  });

  app.delete<OfNode>('/nodes/:node', ADMINISTRATOR, async (request, reply) => {
    const { name } = await find(request.params.node);
    if (store.nodes === undefined) throw nodeFault('node_alive', { name });
    await store.nodes.remove(name, auditEntry(access.actorOf(request), 'nodes.delete', { node: name }, now()));
    return await reply.code(204).send();
  });
}

export function nodeJson(node: NodeRecord) {
  const { name, state, leads, version, address, clockOffsetMs, sessions, appliedParameters } = node;
  return {
    name,
    state,
    leader: leads,
    version,
    address,
    startedAt: timeOf(node.startedAt),
    lastSeenAt: timeOf(node.lastSeenAt),
    clockOffsetSeconds: clockOffsetMs / 1000,
    sessionCount: sessions,
    appliedParameters,
    drainedAt: timeOf(node.drainedAt),
  };
}

// /watch: each agent, parameter, change, rollout and task as it becomes another one, as a stream of server-sent events.
// A client opens the stream, reads the lists, and then replaces in them what the stream brings.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { isCoded } from '../../../shared/errors.ts';
import type { AgentDirectory } from '../../agents/directory.ts';
import { isInScope, isVisible, type Scope } from '../../agents/scope.ts';
import { WATCHED, type ResourceChange, type WatchedCollection } from '../../watching/resource-changes.ts';
import { VIEWER, reads, type Access } from '../access.ts';
import { agentJson } from '../agents/agents.ts';
import { queryOf } from '../checked.ts';
import { requestInvalid } from '../errors.ts';
import { sendStream, STREAM_TYPE, streamEvent, streamTerms } from '../messages/event-stream.ts';
import { rolloutJson } from '../releases/rollouts.ts';
import { nodeJson } from '../nodes/nodes.ts';
import type { AdminServices } from '../services.ts';
import { taskJson, visibleTasks } from '../tasks/tasks.ts';
import { changeJson } from './changes.ts';
import { parameterJson } from './parameters.ts';

/** Resources that are read at once for one stream. */
const BATCH = 100;
/** With tasks among them: each may have 16 KiB of arguments, and 8 KiB of what its program wrote. */
const BATCH_WITH_TASKS = 32;
/** The id of an event of another stream; of which run of Central it is does not matter here. */
const POSITION = /^[0-9a-f]{12}-\d{1,15}$/;

/** What a token with a scope may read. */
const WITHIN_A_SCOPE: ReadonlySet<WatchedCollection> = new Set(
  WATCHED.filter((name) => name !== 'changes' && name !== 'nodes'),
);

const readQuery = queryOf(
  Type.Object(
    {
      /** Names with commas between them; absent: all. */
      collections: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
      /** The id of an event of an earlier stream; absent: from now on. */
      after: Type.Optional(Type.String({ maxLength: 32 })),
    },
    { additionalProperties: false },
  ),
);

const NOUNS = {
  agents: 'agent',
  changes: 'change',
  nodes: 'node',
  parameters: 'parameter',
  rollouts: 'rollout',
  tasks: 'task',
} as const satisfies {
  [C in WatchedCollection]: string;
};

export function watchRoutes(app: FastifyInstance, services: AdminServices, access: Access): void {
  const { resourceChanges } = services;

  /** What the request may watch. Errors: request_invalid, scope_too_narrow. */
  function collectionsFor(request: FastifyRequest): ReadonlySet<WatchedCollection> {
    const collections = collectionsOf(readQuery(request.query).collections);
    if (access.scopeOf(request) === null) return collections ?? new Set(WATCHED);
    const beyond = [...(collections ?? [])].find((name) => !WITHIN_A_SCOPE.has(name));
    if (beyond !== undefined)
      throw access.tooNarrow(request, `a token for all agents, since the collection "${beyond}" is about all of them`);
    return collections ?? WITHIN_A_SCOPE;
  }

  app.get('/watch', reads(VIEWER, { query: readQuery, boundsItself: true }), async (request, reply) => {
    const after = positionOf(request, readQuery(request.query).after) ?? resourceChanges.newest();
    let collections = collectionsFor(request);
    let scope = access.scopeOf(request);
    if (request.method === 'HEAD') return await reply.type(STREAM_TYPE).send();
    return sendStream(reply, after, {
      async read(position) {
        const before = scope;
        // As `recheck` found it.
        scope = access.scopeOf(request);
        const isSame = before?.text === scope?.text;
        if (!isSame) collections = collectionsFor(request);
        const found = isSame ? readChanges(resourceChanges, position, collections) : undefined;
        if (found === undefined) return { text: resetOf(collections, resourceChanges), next: resourceChanges.newest() };
        const agents = access.agentsOf(request);
        const changed = found.changes.filter(({ collection }) => collection === 'agents');
        const present = new Set((await agents.fitting(changed, ({ id }) => id)).map(({ id }) => id));
        const viewer: Viewer = { scope, agents, present };
        const events = await Promise.all(found.changes.map(async (change) => await eventOf(services, viewer, change)));
        const visible = events.filter((event) => event !== undefined);
        const texts = visible.map(({ name, data }, index) =>
          // A client that is cut within these has the others again.
          streamEvent(name, JSON.stringify(data), index + 1 < visible.length ? undefined : found.next),
        );
        return { text: texts.join(''), next: found.next };
      },
      wait: (position, signal) => resourceChanges.wait(position, signal),
      ...streamTerms(request, access, services),
    });
  });
}

/**
 * The tasks of an agent are deleted with it, up to ten thousand at once, and go out of a scope with it: that is one change,
 * of the agent, also to those who watch tasks alone.
 */
function readChanges(
  changes: AdminServices['resourceChanges'],
  position: string,
  collections: ReadonlySet<WatchedCollection>,
): ReturnType<AdminServices['resourceChanges']['read']> {
  if (!collections.has('tasks')) return changes.read(position, collections, BATCH);
  const found = changes.read(position, new Set([...collections, 'agents']), BATCH_WITH_TASKS);
  if (found === undefined || collections.has('agents')) return found;
  const isAboutTasks = ({ collection, isDeleted, labelsBefore }: ResourceChange): boolean =>
    collection !== 'agents' || isDeleted || labelsBefore.length > 0;
  return { ...found, changes: found.changes.filter(isAboutTasks) };
}

/** What changed since then is not known any more: the client has to read the lists again. */
function resetOf(collections: ReadonlySet<WatchedCollection>, changes: AdminServices['resourceChanges']): string {
  return streamEvent('reset', JSON.stringify({ collections: [...collections] }), changes.newest());
}

/** Who watches. */
interface Viewer {
  readonly scope: Scope | null;
  /** Within the scope. */
  readonly agents: AgentDirectory;
  /** The agents that changed and are in the scope: to look for one that is not reads all of them. */
  readonly present: ReadonlySet<string>;
}

/** Undefined: the viewer does not see the resource, and did not before. */
async function eventOf(
  services: AdminServices,
  viewer: Viewer,
  change: ResourceChange,
): Promise<{ readonly name: string; readonly data: object } | undefined> {
  const { collection, id } = change;
  const noun = NOUNS[collection];
  const data = change.isDeleted ? undefined : await presentState(services, viewer, change);
  if (data !== undefined) return { name: `${noun}.updated`, data };
  return wasVisible(viewer, change) ? { name: `${noun}.deleted`, data: { id } } : undefined;
}

/** The scope of a rollout stays; the labels of an agent may not. */
function wasVisible({ scope }: Viewer, { labelsBefore }: ResourceChange): boolean {
  return scope === null || labelsBefore.some((labels) => isInScope(scope, { labels }));
}

/** The resource as its own route answers it; undefined: there is none with this id now, or not for this viewer. */
async function presentState(
  { changes, nodes, parameters, rollouts, tasks }: AdminServices,
  { scope, agents, present }: Viewer,
  { collection, id }: ResourceChange,
): Promise<object | undefined> {
  try {
    switch (collection) {
      case 'agents': {
        if (!present.has(id)) return undefined;
        const agent = await agents.find(id);
        // After the deletion of this one, its id may mean others.
        return agent.id === id ? agentJson(agent) : undefined;
      }
      case 'changes':
        return changeJson(await changes.get(id));
      case 'nodes': {
        const node = nodes.list().find(({ name }) => name === id);
        return node === undefined ? undefined : nodeJson(node);
      }
      case 'rollouts': {
        const view = await rollouts.find(id);
        return isVisible(scope, view.rollout) ? rolloutJson(view) : undefined;
      }
      case 'tasks': {
        const [task] = await visibleTasks(agents, scope, [await tasks.find(id)]);
        return task === undefined ? undefined : taskJson(task);
      }
      case 'parameters': {
        const found = parameters.describe().find(({ name }) => name === id);
        return found === undefined ? undefined : parameterJson(found);
      }
    }
  } catch (error) {
    if (isCoded(error) && (error.status === 404 || error.code === 'agent_ambiguous')) return undefined;
    throw error;
  }
}

/** Errors: request_invalid. */
function collectionsOf(text: string | undefined): ReadonlySet<WatchedCollection> | undefined {
  if (text === undefined) return undefined;
  const names = text.split(',');
  const unknown = names.find((name) => !(WATCHED as readonly string[]).includes(name));
  if (unknown === undefined) return new Set(names as WatchedCollection[]);
  throw requestInvalid([
    {
      parameter: 'collections',
      detail: 'collections names a collection that cannot be watched; put commas between names.',
      allowed: [...WATCHED],
      found: unknown.slice(0, 64),
    },
  ]);
}

/** Where the client goes on; Last-Event-ID wins (HTML Standard, section 9.2.4). Errors: request_invalid. */
function positionOf({ headers }: FastifyRequest, after: string | undefined): string | undefined {
  const last = headers['last-event-id'];
  const [place, text] =
    last === undefined || last === ''
      ? [{ parameter: 'after' } as const, after]
      : [{ header: 'Last-Event-ID' } as const, String(last)];
  if (text === undefined || POSITION.test(text)) return text;
  throw requestInvalid([
    {
      ...place,
      detail: 'This is not a position of GET /watch; allowed: the id of an event of an earlier stream.',
      allowed: null,
      found: text.slice(0, 64),
    },
  ]);
}

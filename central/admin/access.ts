// Decides who may do what: the bearer token or the session of each request, the role that each route names, the scope of the token, and
// the actor that audit entries carry; and refuses query parameters and bodies that a route does not read, and an Accept
// without any type that it answers. A route without a role is a defect and is refused when it is made.
import type { FastifyContextConfig, FastifyInstance, FastifyRequest } from 'fastify';
import { Type, type TSchema } from 'typebox';
import type { Socket } from 'node:net';
import { DetailedError, type CodedError } from '../../shared/errors.ts';
import { preferredType } from '../../shared/http/accept.ts';
import type { AgentDirectory } from '../agents/directory.ts';
import { parseScope, type Scope } from '../agents/scope.ts';
import type { Actor } from '../audit.ts';
import { authFault } from '../auth/errors.ts';
import type { Caller } from '../auth/api-tokens.ts';
import type { Role, SignedInPerson } from '../store/token-store.ts';
import { callerOf as callerOfPerson } from '../auth/sign-in/sign-ins.ts';
import { bodyOf, type Reader } from './checked.ts';
import { adminFault } from './errors.ts';
import { createCallers, type CallerServices } from './login/callers.ts';
import { tooNarrow } from './scopes/routes.ts';
import type { AdminServices } from './services.ts';
import { NO_TERMS, REASON, termsFrom, type Terms } from './changes/terms.ts';
import { TokenBounds } from './token-bounds.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The least role that a route needs; `anyone` for what is public. */
    role?: Role | 'anyone';
    /** Reads the query, in the handler. Absent: the route has no query parameters, and refuses all. */
    query?: Reader<TSchema>;
    /** Reads the terms of an act (changes/terms.ts). Absent: the reason for it. */
    terms?: Reader<TSchema>;
    /** Reads the body in the handler; `raw`: not as a JSON value. Absent: the route has no body, and refuses one. */
    body?: Reader<TSchema> | 'raw';
    /** It needs nothing of the store: while that is away, an API token that it confirmed lately is enough. */
    whileStoreAway?: boolean;
    /** The media types that the route answers, the usual one first. Absent: one, and Accept does not matter. */
    types?: readonly [string, ...string[]];
  }
}

export const ANYONE = { config: { role: 'anyone' } } as const;
export const VIEWER = { config: { role: 'viewer' } } as const;
export const OPERATOR = { config: { role: 'operator' } } as const;
export const ADMINISTRATOR = { config: { role: 'administrator' } } as const;

type RouteParts = Pick<FastifyContextConfig, 'body' | 'boundsItself' | 'query' | 'terms' | 'types' | 'whileStoreAway'>;

/** A role, and what the handler of the route reads of the request. */
export function reads<R extends Role | 'anyone'>(
  { config: { role } }: { readonly config: { readonly role: R } },
  parts: RouteParts,
): { readonly config: RouteParts & { readonly role: R } } {
  return { config: { role, ...parts } };
}

/**
 * The media type that this request gets, of those that its route answers. Errors: not_acceptable, thrown before the
 * handler runs.
 */
export function answerType({ headers: { accept }, routeOptions }: FastifyRequest): string {
  const types = routeOptions.config.types ?? ['application/json'];
  if (types.length === 1) return types[0];
  const type = preferredType(accept, types);
  if (type !== undefined) return type;
  const fault = adminFault('not_acceptable', { allowed: types.join(', ') });
  const found = accept?.slice(0, 64) ?? null;
  throw new DetailedError(fault, { entries: [{ header: 'Accept', detail: fault.message, allowed: types, found }] });
}

const readOnly = new Set(['GET', 'HEAD']);
const readNoBody = bodyOf(Type.Object({}, { additionalProperties: false }));

export interface Access {
  /** Makes every route of `scope` ask for a token before its body is read. */
  guard(scope: FastifyInstance): void;
  /** Whose API token a request has. Errors: unauthenticated (a public route). */
  callerOf(request: FastifyRequest): Caller;
  /** The scope of its token; null: all agents. Errors: unauthenticated (a public route). */
  scopeOf(request: FastifyRequest): Scope | null;
  /** The agents that its token is for. Errors: unauthenticated (a public route). */
  agentsOf(request: FastifyRequest): AgentDirectory;
  /** The refusal of an act that needs more than the scope of its token, recorded as those of routes are. */
  tooNarrow(request: FastifyRequest, needed: string): CodedError;
  /**
   * Of a request that is answered over a time: whether its token would be let in now, with its present role and scope,
   * which `scopeOf` and `agentsOf` say from now on. Errors: unauthenticated, address_denied, forbidden,
   * scope_too_narrow.
   */
  recheck(request: FastifyRequest): Promise<void>;
  /**
   * Whose API token this text is; from now on the request is that caller's. Errors: csrf_required, unauthenticated,
   * too_many_attempts, address_denied; they are recorded.
   */
  signIn(request: FastifyRequest, token: string): Promise<Caller>;
  /** The same for a person whom the OpenID provider named. Errors: address_denied. */
  signInPerson(request: FastifyRequest, person: SignedInPerson): Caller;
  /** Records the refusal of a sign-in. */
  refused(request: FastifyRequest, fault: CodedError): void;
  /** Who acts in this request, and why. Errors: unauthenticated (a public route). */
  actorOf(request: FastifyRequest): Actor;
  /** The terms of this act: of a request that is not a GET. */
  termsOf(request: FastifyRequest): Terms;
}

type AccessServices = CallerServices & Pick<AdminServices, 'agents' | 'now'>;

/** `app` is the listener's own: its connections are timed here, for confirmations that must come over a new one. */
export function createAccess(app: FastifyInstance, services: AccessServices): Access {
  const { now, isLocal } = services;
  const connectedAt = new WeakMap<Socket, number>();
  const callerOf = new WeakMap<FastifyRequest, Caller>();
  const termsOf = new WeakMap<FastifyRequest, Terms>();
  const bounds = new TokenBounds();
  app.server.on('connection', (socket: Socket) => connectedAt.set(socket, now()));

  function validateQuery(request: FastifyRequest): void {
    const { query = NO_TERMS, terms = REASON } = request.routeOptions.config;
    if (readOnly.has(request.method)) query(request.query);
    else termsOf.set(request, termsFrom(terms(request.query)));
  }

  const { placeOf, callerWith, callerOfToken, present, record, assertAddress } = createCallers(services);
  const scopeOf = (request: FastifyRequest): Scope | null => {
    const { scope } = known(callerOf.get(request));
    return scope === null ? null : parseScope(scope);
  };

  return {
    guard(scope) {
      scope.addHook('onRoute', ({ config, method, url }) => {
        if (config?.role === undefined) throw new TypeError(`the route ${String(method)} ${url} names no role`);
      });
      scope.addHook('onRequest', async (request, reply) => {
        // Absent where no route fits: who asks for nothing learns nothing but that.
        const { role } = request.routeOptions.config;
        if (role === undefined) return;
        const caller = await callerWith(role, request);
        if (caller === undefined) return validateQuery(request);
        bounds.enter(caller.tokenId, reply);
        bounds.expectBody(caller.tokenId, request.raw, request.routeOptions.bodyLimit ?? 0, reply);
        callerOf.set(request, caller);
        validateQuery(request);
        answerType(request);
      });
      scope.addHook('preValidation', (request, _reply, done) => {
        const { role, body } = request.routeOptions.config;
        if (role !== undefined && body === undefined) readNoBody(request.body);
        done();
      });
    },
    callerOf: (request) => known(callerOf.get(request)),
    scopeOf,
    agentsOf: (request) => services.agents.within(scopeOf(request)),
    tooNarrow(request, needed) {
      const fault = tooNarrow(known(callerOf.get(request)), needed);
      record(fault, request, known(callerOf.get(request)));
      return fault;
    },
    async recheck(request) {
      callerOf.set(request, await present(known(callerOf.get(request)), request));
    },
    signIn: async (request, token) => kept(callerOf, request, await callerOfToken(request, token)),
    signInPerson(request, person) {
      assertAddress(person.role, request);
      return kept(callerOf, request, callerOfPerson(person));
    },
    refused: (request, fault) => record(fault, request, undefined),
    actorOf(request) {
      const caller = known(callerOf.get(request));
      const { socket } = request.raw;
      const since = connectedAt.get(socket);
      const local = isLocal?.(socket) === true;
      const { comment, ticket } = termsOf.get(request) ?? {};
      const actor = { who: caller.name, from: placeOf(request), comment, ticket };
      return since === undefined
        ? actor
        : {
            ...actor,
            via: { listener: local ? 'local' : 'encrypted' in socket ? 'https' : 'http', connectedAt: since },
          };
    },
    termsOf: (request) => termsOf.get(request) ?? {},
  };
}

function kept(callers: WeakMap<FastifyRequest, Caller>, request: FastifyRequest, caller: Caller): Caller {
  callers.set(request, caller);
  return caller;
}

/** Errors: unauthenticated (a public route). */
function known(caller: Caller | undefined): Caller {
  if (caller === undefined) throw authFault('unauthenticated', { found: 'the Authorization header is missing' });
  return caller;
}

// Where the requests of the administration come from, and whose they are: the token or the session that they have, the
// address rules, role and scope of the route. Refusals are recorded.
import type { FastifyRequest } from 'fastify';
import { DetailedError, isCoded, type CodedError } from '../../../shared/errors.ts';
import { assertRole, type Caller } from '../../auth/api-tokens.ts';
import { authFault } from '../../auth/errors.ts';
import { sessionCookie } from '../../auth/sign-in/cookie.ts';
import { normalAddress, type AccessSubject } from '../../parameters/address-access.ts';
import type { Role } from '../../store/token-store.ts';
import { assertRouteScope, routeKey } from '../scopes/routes.ts';
import type { AdminServices } from '../services.ts';
import { assertNotOtherPage, assertOwnPage } from './cross-site.ts';

export type CallerServices = Pick<AdminServices, 'addressAccess' | 'apiTokens' | 'isLocal' | 'refusals' | 'signIns'>;

const ENDED = 'the session of its cookie has ended';

/** Where requests come from, and whose they are. */
export function createCallers(services: CallerServices) {
  const { apiTokens, signIns } = services;
  const { placeOf, record, assertAddress } = createPlaces(services);

  /** Errors: address_denied, forbidden, scope_too_narrow. */
  function assertCaller(caller: Caller, { role, key }: RouteRules, request: FastifyRequest): void {
    assertAddress(caller.role, request);
    assertRole(caller, role);
    assertRouteScope(caller, key);
  }

  function assertListener(request: FastifyRequest): void {
    if ('encrypted' in request.raw.socket) assertAddress('https', request);
  }

  /** The token as it is now. Errors: unauthenticated, and those of assertCaller. */
  async function present({ tokenId, signInId }: Caller, request: FastifyRequest): Promise<Caller> {
    assertListener(request);
    const caller = await (signInId === undefined ? apiTokens.present(tokenId) : signIns.present(signInId));
    if (caller === undefined)
      throw authFault('unauthenticated', {
        found: signInId === undefined ? 'this token expired or was removed' : ENDED,
      });
    const { role = 'administrator' } = request.routeOptions.config;
    if (role !== 'anyone') assertCaller(caller, { role, key: keyOf(request) }, request);
    return caller;
  }

  /**
   * Undefined: the route is public. Errors: address_denied, unauthenticated, too_many_attempts, forbidden,
   * scope_too_narrow; they are recorded.
   */
  async function callerWith(role: Role | 'anyone', request: FastifyRequest): Promise<Caller | undefined> {
    const { socket } = request.raw;
    let caller: Caller | undefined;
    try {
      assertListener(request);
      if (role === 'anyone') return undefined;
      const session = request.headers.authorization === undefined ? sessionCookie(request.raw) : undefined;
      if (session === undefined) {
        const { whileStoreAway = false } = request.routeOptions.config;
        caller = await apiTokens.authenticate(request.headers.authorization, normalAddress(socket.remoteAddress), {
          remembered: whileStoreAway,
        });
      } else {
        caller = await signIns.find(session);
        if (caller === undefined) throw authFault('unauthenticated', { found: ENDED });
        assertOwnPage(request);
      }
      assertCaller(caller, { role, key: keyOf(request) }, request);
      return caller;
    } catch (error) {
      if (isCoded(error)) record(error, request, caller);
      throw isCoded(error, 'unauthenticated') ? withMethods(error, request) : error;
    }
  }

  /** What a browser needs that asks who it is. */
  function withMethods(fault: CodedError, request: FastifyRequest): CodedError {
    if (keyOf(request) !== 'GET /login') return fault;
    return new DetailedError(fault, { members: { signIn: signIns.methods } });
  }

  /** Errors: csrf_required, unauthenticated, too_many_attempts, address_denied; they are recorded. */
  async function callerOfToken(request: FastifyRequest, token: string): Promise<Caller> {
    let caller: Caller | undefined;
    try {
      assertNotOtherPage(request);
      caller = await apiTokens.authenticateText(token, normalAddress(request.raw.socket.remoteAddress));
      assertAddress(caller.role, request);
      return caller;
    } catch (error) {
      if (isCoded(error)) record(error, request, caller);
      throw error;
    }
  }

  return { placeOf, callerWith, callerOfToken, present, record, assertAddress };
}

/** Where requests come from, what of them is recorded, and which addresses are admitted. */
function createPlaces({
  addressAccess,
  refusals,
  isLocal,
}: Pick<CallerServices, 'addressAccess' | 'isLocal' | 'refusals'>) {
  function placeOf({ raw: { socket } }: FastifyRequest): string {
    return isLocal?.(socket) === true ? 'local socket' : normalAddress(socket.remoteAddress);
  }

  function record(fault: CodedError, request: FastifyRequest, caller: Caller | undefined): void {
    const route = `${request.method} ${request.routeOptions.url ?? ''}`;
    refusals.record(fault, {
      address: placeOf(request),
      route,
      ...(caller === undefined ? {} : { caller: caller.name }),
    });
  }

  /** Errors: address_denied. The socket on this host is the way to correct a rule, and always allowed. */
  function assertAddress(subject: AccessSubject, { raw: { socket } }: FastifyRequest): void {
    const address = normalAddress(socket.remoteAddress);
    if (isLocal?.(socket) === true || addressAccess.admits(subject, address)) return;
    throw authFault('address_denied', { address, rule: `access.${subject}` });
  }

  return { placeOf, record, assertAddress };
}

/** What a route asks of a token. */
interface RouteRules {
  readonly role: Role;
  /** central/admin/scopes/routes.ts */
  readonly key: string;
}

function keyOf({ method, routeOptions }: FastifyRequest): string {
  return routeKey(method, routeOptions.url ?? '');
}

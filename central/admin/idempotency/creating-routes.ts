// The routes that create something each time they are called: those that take an Idempotency-Key.
import { routeKey } from '../scopes/routes.ts';

/** Members of the answer that are secret: a repeated answer has null there. */
const NO_SECRETS: readonly string[] = [];

/**
 * By method and path, as openapi.json has them. Commands are not among them: the source and id of a CloudEvent
 * deduplicate.
 */
export const CREATING_ROUTES: Readonly<Record<string, readonly string[]>> = {
  'POST /agents': NO_SECRETS,
  'POST /agents/{agent}/profile/repair': NO_SECRETS,
  'POST /agents/{agent}/recovery-code': ['code'],
  'POST /api-tokens': ['token'],
  'POST /drains': NO_SECRETS,
  'POST /enrollment-tokens': ['token', 'commandLine'],
  'POST /profiles': NO_SECRETS,
  'POST /profiles/{profile}/releases': NO_SECRETS,
  'POST /profiles/{profile}/truststore': NO_SECRETS,
  'POST /rollouts': NO_SECRETS,
  'POST /server-certificate/request': NO_SECRETS,
  'POST /service-exposures': NO_SECRETS,
  'POST /software-releases': NO_SECRETS,
  'POST /subscriptions': ['secret'],
  'POST /tasks': NO_SECRETS,
};

/** The secret members of the answer of this route; undefined: it creates nothing. */
export function secretsOf(method: string, url: string): readonly string[] | undefined {
  return method === 'POST' ? CREATING_ROUTES[routeKey(method, url)] : undefined;
}

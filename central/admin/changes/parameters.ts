// /parameters: the table with its values, and changes of them. The version of the parameters is the ETag.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { DetailedError, isCoded } from '../../../shared/errors.ts';
import { isKnown } from '../../listeners/etag.ts';
import { GROUPS } from '../../parameters/definitions.ts';
import { parameterFault } from '../../parameters/errors.ts';
import type { ChangeRequest, ParameterDescription } from '../../parameters/types.ts';
import { nearestName } from '../../parameters/values.ts';
import { ADMINISTRATOR, VIEWER, type Access, reads } from '../access.ts';
import { bodyOf, queryOf } from '../checked.ts';
import { requestInvalid } from '../errors.ts';
import { pageMembers, pageOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { ifMatchOf } from './if-match.ts';
import { sendReport } from './report.ts';
import { CHANGE } from './terms.ts';

/** Names and values are validated against the table (central/parameters/validate.ts); this only bounds them. */
const readPatch = bodyOf(Type.Record(Type.String(), Type.Unknown(), { maxProperties: 200 }));
const readList = queryOf(
  Type.Object(
    { ...pageMembers, group: Type.Optional(Type.String({ maxLength: 128 })) },
    { additionalProperties: false },
  ),
);

export function parameterRoutes(app: FastifyInstance, { parameters }: AdminServices, access: Access): void {
  const tag = () => `"${parameters.version}"`;
  const sendTagged = (reply: FastifyReply, value: () => unknown): FastifyReply =>
    isKnown(reply, tag()) ? reply.code(304).send() : reply.send(value());
  /** Makes a change. Errors: those of the parameters; version_conflict with the present tag and who changed it. */
  const change = async (request: FastifyRequest, reply: FastifyReply, values: ChangeRequest['values']) => {
    try {
      const wanted = { ...access.termsOf(request), values, ifMatch: ifMatchOf(request, 'the parameters') };
      const report = await parameters.change(wanted, access.actorOf(request));
      const { listens, nodes } = report;
      return await sendReport(reply.header('etag', tag()), { ...report, result: { listens, nodes } });
    } catch (error) {
      if (!isCoded(error, 'version_conflict')) throw error;
      void reply.header('etag', tag());
      throw new DetailedError(error, { members: { changedBy: lastChange(parameters.describe()) } });
    }
  };

  app.get('/parameters', reads(VIEWER, { query: readList }), (request, reply) => {
    const { group, ...page } = readList(request.query);
    const known = Object.values(GROUPS).find((name) => name.toLowerCase() === group?.toLowerCase());
    if (group !== undefined && known === undefined)
      throw requestInvalid([
        {
          parameter: 'group',
          detail: 'The group is unknown.',
          allowed: Object.values(GROUPS),
          found: group.slice(0, 64),
        },
      ]);
    const shown = parameters.describe().filter(({ definition }) => known === undefined || definition.group === known);
    return sendTagged(reply, () =>
      pageOf(request, reply, page, shown, { position: ({ name }) => name, json: parameterJson }),
    );
  });

  app.get<{ Params: { parameter: string } }>('/parameters/:parameter', VIEWER, (request, reply) => {
    const found = find(request.params.parameter);
    return sendTagged(reply, () => parameterJson(found));
  });

  app.patch('/parameters', reads(ADMINISTRATOR, { body: readPatch, terms: CHANGE }), async (request, reply) => {
    if (request.body === undefined)
      throw requestInvalid([{ pointer: '#', detail: 'The body is missing.', allowed: null, found: null }]);
    return await change(request, reply, readPatch(request.body));
  });

  app.delete<{ Params: { parameter: string } }>(
    '/parameters/:parameter',
    reads(ADMINISTRATOR, { terms: CHANGE }),
    async (request, reply) => await change(request, reply, { [find(request.params.parameter).name]: null }),
  );

  function find(name: string): ParameterDescription {
    const found = parameters.describe().find((description) => description.name === name);
    if (found !== undefined) return found;
    const nearest = nearestName(name);
    throw parameterFault('parameter_unknown', {
      name,
      hint: `${nearest === undefined ? '' : `Did you mean ${nearest}? `}GET /api/v1/parameters lists all.`,
    });
  }
}

/** Who made the last change; null before the first one. */
function lastChange(descriptions: readonly ParameterDescription[]): string | null {
  const latest = (at: ParameterDescription | undefined): number => at?.changedAt ?? -1;
  const newest = descriptions.reduce<ParameterDescription | undefined>(
    (one, other) => (latest(other) > latest(one) ? other : one),
    undefined,
  );
  return newest?.changedBy ?? null;
}

export function parameterJson({
  name,
  definition,
  allowed,
  value,
  isDefault,
  effective,
  overriddenBy,
  changedBy,
  changedAt,
}: ParameterDescription) {
  const { group, type, description, reason, applying, default: standard, ...bounds } = definition;
  return {
    name,
    group,
    description,
    type,
    // minimum, maximum, unit, the words of an enum ... as the table has them.
    bounds,
    allowed,
    default: standard,
    defaultReason: reason,
    applying,
    value,
    isDefault,
    effective,
    overriddenBy,
    changedBy,
    changedAt: changedAt === null ? null : new Date(changedAt).toISOString(),
  };
}

// /audit: who did what, when and from where, newest first; and the verification of the chain that its entries form.
import type { FastifyInstance, FastifyReply } from 'fastify';
import { Type } from 'typebox';
import type { StoredAuditEntry } from '../../store/audit-store.ts';
import { ADMINISTRATOR, answerType, reads, VIEWER } from '../access.ts';
import { bodyOf, queryOf } from '../checked.ts';
import { pageJson, pageMembers, positionOf, timeIn, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';

/** JSON lines, without the envelope: for archives and log collectors. */
const LINES_TYPE = 'application/x-ndjson';
const TYPES = ['application/json', LINES_TYPE] as const;
const MAX_VALUES = 20;

/** Repeated: one of them; one `*` stands for any text (several would cost a power of the length). */
const oneText = Type.String({ minLength: 1, maxLength: 255, pattern: '^[^*]*(?:[*][^*]*)?$' });
const texts = Type.Optional(Type.Union([oneText, Type.Array(oneText, { minItems: 1, maxItems: MAX_VALUES })]));
const time = Type.Optional(Type.String({ maxLength: 64 }));

const readList = queryOf(
  Type.Object(
    {
      ...pageMembers,
      actor: texts,
      action: texts,
      target: texts,
      number: Type.Optional(Type.String({ pattern: String.raw`^[1-9]\d{0,14}$` })),
      createdAfter: time,
      createdBefore: time,
      text: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
      result: Type.Optional(Type.Union([Type.Literal('done'), Type.Literal('refused')])),
      sort: Type.String({ pattern: '^-?number$', default: '-number' }),
    },
    { additionalProperties: false },
  ),
);

const readVerify = bodyOf(
  Type.Object({ head: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })) }, { additionalProperties: false }),
);

export function auditRoutes(app: FastifyInstance, { audit, auditVerification }: AdminServices): void {
  app.get('/audit', reads(VIEWER, { query: readList, types: TYPES }), async (request, reply) => {
    const query = readList(request.query);
    const after = positionOf(request, query);
    const { entries, next } = await audit.find({
      limit: query.limit,
      order: query.sort === 'number' ? 'oldest' : 'newest',
      after: after === undefined ? null : Number(after),
      filter: {
        actors: listOf(query.actor),
        actions: listOf(query.action),
        targets: listOf(query.target),
        number: query.number === undefined ? null : Number(query.number),
        from: timeIn('createdAfter', query.createdAfter),
        to: timeIn('createdBefore', query.createdBefore),
        text: query.text ?? null,
        result: query.result ?? null,
      },
    });
    const head = (await audit.head())?.hash ?? null;
    const page = pageJson(request, reply, entries.map(entryJson), next === null ? null : String(next));
    return answerType(request) === LINES_TYPE ? await sendLines(reply, page.items) : { ...page, head };
  });

  app.post('/audit/verify', reads(ADMINISTRATOR, { body: readVerify }), async (request) => {
    const { valid, entryCount, head, faults } = await auditVerification.verify(readVerify(request.body).head);
    return {
      valid,
      entryCount,
      head,
      faults: faults.map(({ code, message, hint }) => ({ code, detail: message, hint })),
    };
  });
}

async function sendLines(reply: FastifyReply, items: readonly unknown[]): Promise<FastifyReply> {
  return await reply.type(LINES_TYPE).send(items.map((item) => `${JSON.stringify(item)}\n`).join(''));
}

function listOf(value: string | readonly string[] | undefined): readonly string[] | null {
  if (value === undefined) return null;
  return typeof value === 'string' ? [value] : value;
}

function entryJson(entry: StoredAuditEntry) {
  const { number, at, who, from, action, comment, ticket, hash } = entry;
  const detail = detailOf(entry.detail);
  return {
    number,
    createdAt: timeOf(at),
    actor: who,
    address: from,
    action,
    target: targetOf(detail),
    detail,
    comment,
    ticket,
    hash,
  };
}

/** An altered entry may hold anything. */
function detailOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** What the entry is about: the first of these that its detail names. */
const TARGETS = ['name', 'id', 'thumbprint', 'keyThumbprint', 'route', 'change'] as const;

function targetOf(detail: unknown): string | null {
  const members = typeof detail === 'object' && detail !== null ? (detail as Readonly<Record<string, unknown>>) : {};
  const found = TARGETS.map((name) => members[name]).find((value) => typeof value === 'string');
  return typeof found === 'string' ? found : null;
}

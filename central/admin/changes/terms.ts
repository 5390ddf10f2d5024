// The terms of an act: query parameters of POST, PUT, PATCH and DELETE, so that a body holds nothing but the resource.
import { Type, type Static } from 'typebox';
import type { ProblemEntry } from '../../../shared/errors.ts';
import type { Actor } from '../../audit.ts';
import { MAX_CONFIRM_SECONDS, type ConfirmRequest } from '../../change/confirm.ts';
import { queryOf } from '../checked.ts';
import { requestInvalid } from '../errors.ts';

const MAX_COMMENT_BYTES = 1024;
const MAX_TICKET_BYTES = 128;
/** All but one in ten: one branch that happens to be offline does not block an administrator. */
const DEFAULT_SHARE = 0.9;

const strict = { additionalProperties: false } as const;
const reason = { comment: Type.Optional(Type.String()), ticket: Type.Optional(Type.String()) };
const dryRun = Type.Optional(Type.Boolean());
const force = Type.Optional(Type.Boolean());
const confirmation = {
  confirmWithinSeconds: Type.Optional(Type.Integer({ minimum: 5, maximum: MAX_CONFIRM_SECONDS })),
  confirmShare: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
};
const ALL = Type.Object({ dryRun, force, ...confirmation, stage: Type.Optional(Type.Boolean()), ...reason }, strict);

/** Of an act that leaves no audit entry: none. */
export const NO_TERMS = queryOf(Type.Object({}, strict));
/** Of any other act: why it is done. */
export const REASON = queryOf(Type.Object(reason, strict));
export const FORCE = queryOf(Type.Object({ force, ...reason }, strict));
export const DRY_RUN = queryOf(Type.Object({ dryRun, ...reason }, strict));
/** Of an act that can cut agents off. */
export const STEP = queryOf(Type.Object({ dryRun, force, ...reason }, strict));
/** Of the import of a profile. */
export const IMPORT = queryOf(
  Type.Object(
    { name: Type.String({ maxLength: 128 }), replace: Type.Optional(Type.Boolean()), dryRun, ...reason },
    strict,
  ),
);
/** Of a file that is put into a profile. */
export const FILE_PUT = queryOf(Type.Object({ executable: Type.Optional(Type.Boolean()), dryRun, ...reason }, strict));
/** The same, where it can be rolled back unless it is confirmed. */
export const CHANGE = queryOf(Type.Object({ dryRun, force, ...confirmation, ...reason }, strict));
/** The same, of a certificate that can be staged. */
export const SWAP = queryOf(ALL);

export interface Terms extends Pick<Actor, 'comment' | 'ticket'> {
  readonly dryRun?: boolean | undefined;
  readonly force?: boolean | undefined;
  readonly stage?: boolean | undefined;
  readonly confirm?: ConfirmRequest | undefined;
}

/** What a validated query says. Errors: request_invalid. */
export function termsFrom(query: unknown): Terms {
  const {
    confirmWithinSeconds: withinSeconds,
    confirmShare: share,
    comment,
    ticket,
    ...rest
  } = query as Static<typeof ALL>;
  const entries: ProblemEntry[] = [
    ...tooLong('comment', comment, MAX_COMMENT_BYTES),
    ...tooLong('ticket', ticket, MAX_TICKET_BYTES),
  ];
  if (withinSeconds === undefined && share !== undefined) {
    const detail = 'confirmShare has no effect without confirmWithinSeconds.';
    entries.push({ parameter: 'confirmShare', detail, allowed: null, found: String(share) });
  }
  if (entries.length > 0) throw requestInvalid(entries);
  const confirm = withinSeconds === undefined ? undefined : { withinSeconds, share: share ?? DEFAULT_SHARE };
  return { ...rest, comment, ticket, confirm };
}

function tooLong(parameter: string, text: string | undefined, maxBytes: number): ProblemEntry[] {
  const bytes = Buffer.byteLength(text ?? '');
  if (bytes <= maxBytes) return [];
  return [{ parameter, detail: `${parameter} has ${bytes} bytes; allowed: ${maxBytes}.`, allowed: null, found: null }];
}

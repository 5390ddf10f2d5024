// What requests about certificates have in common: files as text, the terms of a swap, and how certificates are shown.
// Private keys come in here and never go out: each answer is made member by member.
import { Type } from 'typebox';
import type { Change } from '../../change/changes.ts';
import { MAX_CONFIRM_SECONDS } from '../../change/confirmation.ts';
import type { SwapReport, SwapRequest } from '../../pki/server/server-certificates.ts';
import { pinOfCredentials, rootOfCredentials, type ServerCredentials } from '../../pki/server/slots.ts';
import { thumbprintOf } from '../../pki/x509/certificate.ts';
import { requestInvalid } from '../errors.ts';
import { pointerTo } from '../../../shared/http/problem.ts';
import { timeOf } from '../page.ts';

export const reason = {
  comment: Type.Optional(Type.String({ maxLength: 1024 })),
  ticket: Type.Optional(Type.String({ maxLength: 128 })),
};

/** PEM as it is, anything else as base64; the body's own bound is below this. */
export const fileText = Type.String({ minLength: 1, maxLength: 250_000 });
export const fileName = Type.Optional(Type.String({ minLength: 1, maxLength: 255, pattern: String.raw`^[^\p{Cc}]+$` }));
export const password = Type.Optional(Type.String({ maxLength: 1024 }));

const confirm = Type.Object(
  {
    withinSeconds: Type.Integer({ minimum: 5, maximum: MAX_CONFIRM_SECONDS }),
    share: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  },
  { additionalProperties: false },
);
export const again = {
  dryRun: Type.Optional(Type.Boolean()),
  force: Type.Optional(Type.Boolean()),
  confirm: Type.Optional(confirm),
  ...reason,
};
export const swap = { ...again, stage: Type.Optional(Type.Boolean()) };

/** All but one in ten, as for parameters: one branch that happens to be offline does not block an administrator. */
const DEFAULT_SHARE = 0.9;

interface SwapBody extends Omit<SwapRequest, 'confirm'> {
  readonly confirm?: { readonly withinSeconds: number; readonly share?: number };
}

export function swapOf({ dryRun, force, stage, confirm: terms, comment, ticket }: SwapBody): SwapRequest {
  return {
    dryRun,
    force,
    stage,
    comment,
    ticket,
    confirm:
      terms === undefined ? undefined : { withinSeconds: terms.withinSeconds, share: terms.share ?? DEFAULT_SHARE },
  };
}

/** The bytes of a file in a body. Errors: request_invalid. */
export function bytesOf(place: string, text: string): Buffer {
  if (text.includes('-----BEGIN ')) return Buffer.from(text, 'utf8');
  const bare = text.replaceAll(/\s/g, '');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(bare) || bare.length % 4 !== 0)
    throw requestInvalid([
      { pointer: pointerTo(place), detail: `${place} is neither PEM nor base64.`, allowed: null, found: null },
    ]);
  return Buffer.from(bare, 'base64');
}

export function credentialsJson(credentials: ServerCredentials | undefined) {
  if (credentials === undefined) return null;
  const { thumbprint, subject, issuer, names, notBefore, notAfter, origin } = credentials;
  return {
    thumbprint,
    subject,
    issuer,
    names,
    notBefore: timeOf(notBefore),
    notAfter: timeOf(notAfter),
    origin,
    root: thumbprintOf(rootOfCredentials(credentials)),
    pin: pinOfCredentials(credentials),
  };
}

export function pendingJson(change: Change | null) {
  return change === null
    ? null
    : {
        id: change.id,
        deadline: timeOf(change.expiresAt),
        changedBy: change.owner.who,
        share: change.requiredShare,
        agents: change.agentCount,
      };
}

export function swapJson({ dryRun, staged, certificate, cutOff, notices, change }: SwapReport) {
  return {
    dryRun,
    staged,
    certificate: credentialsJson(certificate),
    cutOff: cutOff.map(({ id, name }) => ({ id, name })),
    notices,
    pending: pendingJson(change),
  };
}

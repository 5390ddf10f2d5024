// What requests about certificates have in common: files as text, and how certificates are shown.
// Private keys come in here and never go out: each answer is made member by member.
import { Type } from 'typebox';
import type { UploadedKey } from '../../pki/x509/upload.ts';
import type { SwapReport } from '../../pki/server/server-certificates.ts';
import { pinOfCredentials, rootOfCredentials, type ServerCredentials } from '../../pki/server/slots.ts';
import { thumbprintOf } from '../../pki/x509/certificate.ts';
import { bodyOf } from '../checked.ts';
import { requestInvalid } from '../errors.ts';
import { pointerTo } from '../../../shared/http/problem.ts';
import { timeOf } from '../page.ts';

/** PEM as it is, anything else as base64; the body's own bound is below this. */
const fileText = Type.String({ minLength: 1, maxLength: 250_000 });
const printableName = Type.Optional(Type.String({ minLength: 1, maxLength: 255, pattern: String.raw`^[^\p{Cc}]+$` }));
const password = Type.Optional(Type.String({ maxLength: 1024 }));
const strict = { additionalProperties: false } as const;

const FILE = { content: fileText, fileName: printableName, password };
const KEY_FILE = { ...FILE, keyFile: Type.Optional(fileText), alias: printableName, keyPassword: password };

/** A file with certificates. */
export const readFile = bodyOf(Type.Object(FILE, strict));
/** A file with certificates and a key, or two files. */
export const readKeyFile = bodyOf(Type.Object(KEY_FILE, strict));
/** The same, or nothing at all. */
export const readKeyFileIfAny = bodyOf(Type.Object({ ...KEY_FILE, content: Type.Optional(fileText) }, strict));

type KeyFile = ReturnType<typeof readKeyFile>;

/** What the services read of such a body. Errors: request_invalid. */
export function uploadedKey({ content, fileName: name = 'the file', keyFile, ...secrets }: KeyFile): UploadedKey {
  const keyBytes = keyFile === undefined ? undefined : bytesOf('/keyFile', keyFile);
  return { name, bytes: bytesOf('/content', content), keyBytes, ...secrets };
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
    issuerSubject: issuer,
    names,
    notBefore: timeOf(notBefore),
    notAfter: timeOf(notAfter),
    origin,
    rootThumbprint: thumbprintOf(rootOfCredentials(credentials)),
    pin: pinOfCredentials(credentials),
  };
}

export function swapReport({ staged, before, certificate, ...report }: SwapReport) {
  return {
    ...report,
    changed: [{ name: staged ? 'staged' : 'current', from: before, to: certificate.thumbprint }],
    // What is staged is not shown yet; who would be cut off by it counts when it is activated.
    ...(staged ? { needsForce: false } : {}),
    result: credentialsJson(certificate),
  };
}

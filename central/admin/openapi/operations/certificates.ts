// The operations on the authority, its rotation, Central's own certificate and the expiry of all.
import { CERTIFICATE_KINDS } from '../../../pki/expiry.ts';
import {
  AGENT_REFERENCE,
  array,
  CHANGE_REFERENCE,
  count,
  json,
  listOf,
  named,
  NO_CONTENT,
  object,
  orNull,
  pem,
  reported,
  reportOf,
  sha256,
  text,
  textOrNull,
  time,
  timeOrNull,
  UNCHANGED,
  words,
  type Operations,
  type Schema,
} from '../schema.ts';

const GENERATION: Readonly<Record<string, Schema>> = {
  thumbprint: sha256,
  subject: text,
  serialNumber: text,
  keyAlgorithm: text,
  notBefore: time,
  notAfter: time,
  origin: text,
  root: object({ thumbprint: sha256, subject: text, pin: text }),
};
const GENERATION_IN_ROLE = named(
  'CaGeneration',
  object({
    role: words(['prepared', 'next', 'current', 'previous', 'retired']),
    roleChangedAt: time,
    ...GENERATION,
    usedFor: text,
  }),
);
const SERVER_CERTIFICATE = named(
  'ServerCertificate',
  object({
    thumbprint: sha256,
    subject: text,
    issuerSubject: text,
    names: array(text),
    notBefore: time,
    notAfter: time,
    origin: words(['issued', 'signed', 'imported']),
    rootThumbprint: sha256,
    pin: text,
  }),
);
const PHASES = ['idle', 'prepared', 'published', 'switched', 'retired'] as const;
const STEP = { 200: json('Done, or what a dry run found.', reportOf(object({ phase: words(PHASES) }))) } as const;
const SWAP = reported(SERVER_CERTIFICATE);
/** Of a file with certificates or keys. */
const OF_FILE = [
  'certificate_file_missing',
  'certificate_unreadable',
  'distinguished_name_bad',
  'private_key_alias_unknown',
  'private_key_ambiguous',
  'private_key_missing',
  'private_key_password_missing',
  'private_key_unreadable',
] as const;
const OF_STEP = ['change_pending', 'rotation_wrong_phase', 'would_cut_off_agents'] as const;
const OF_SWAP = ['change_pending', 'server_certificate_unfit', 'would_cut_off_agents'] as const;

export const CERTIFICATE_OPERATIONS: Operations = {
  'GET /certificates': {
    id: 'listCertificates',
    summary: 'Every certificate that Central knows, the first to expire first.',
    answers: {
      200: json(
        'A page.',
        listOf(
          object({
            kind: words(CERTIFICATE_KINDS),
            slot: textOrNull,
            agent: orNull(AGENT_REFERENCE),
            subject: text,
            thumbprint: sha256,
            notBefore: time,
            notAfter: time,
            daysLeft: { type: 'integer' },
            usedFor: text,
          }),
        ),
      ),
    },
    example: { query: { kind: 'server', expiresWithinDays: '36500' } },
  },
  'GET /server-certificate': {
    id: 'getServerCertificate',
    summary: "Central's own certificate: the current, the staged and the previous one, and the request for the next.",
    answers: {
      200: json(
        'The certificates.',
        object({
          current: orNull(SERVER_CERTIFICATE),
          staged: orNull(SERVER_CERTIFICATE),
          previous: orNull(SERVER_CERTIFICATE),
          request: orNull(object({ csr: pem, createdAt: time })),
          change: CHANGE_REFERENCE,
        }),
      ),
    },
  },
  'POST /server-certificate/request': {
    id: 'createServerCertificateRequest',
    summary: 'Creates a key and a request (CSR), for an authority outside of Central to sign.',
    answers: { 201: json('The request.', object({ csr: pem })) },
    example: { body: { keyAlgorithm: 'ec' } },
  },
  'DELETE /server-certificate/request': {
    id: 'deleteServerCertificateRequest',
    summary: 'Deletes the request with its key.',
    answers: NO_CONTENT,
    errors: ['certificate_request_missing'],
  },
  'DELETE /server-certificate/staged': {
    id: 'deleteStagedServerCertificate',
    summary: 'Deletes the staged certificate with its key.',
    answers: NO_CONTENT,
    errors: ['certificate_nothing_staged'],
  },
  'POST /server-certificate/install': {
    id: 'installServerCertificate',
    summary: 'Uses the certificate that was signed for the request.',
    answers: SWAP,
    errors: [...OF_FILE, ...OF_SWAP, 'certificate_not_requested'],
  },
  'POST /server-certificate/import': {
    id: 'importServerCertificate',
    summary: 'Uses a certificate with its key and chain.',
    answers: SWAP,
    errors: [...OF_FILE, ...OF_SWAP],
  },
  'POST /server-certificate/issue': {
    id: 'issueServerCertificate',
    summary: "Issues a certificate of Central's own authority.",
    answers: SWAP,
    errors: OF_SWAP,
    example: { query: { stage: 'true' } },
  },
  'POST /server-certificate/activate': {
    id: 'activateServerCertificate',
    summary: 'Uses the staged certificate, or the previous one again.',
    answers: SWAP,
    errors: [...OF_SWAP, 'certificate_no_previous', 'certificate_nothing_staged'],
    example: { query: { dryRun: 'true' }, body: { slot: 'staged' } },
  },
  'GET /ca': {
    id: 'getCa',
    summary: 'The generations of the authority, the pin, and the fingerprint of the signing key.',
    answers: {
      200: json('The authority.', object({ generations: array(GENERATION_IN_ROLE), pin: text, signingKey: text })),
    },
  },
  'GET /ca/generations/{thumbprint}': {
    id: 'getCaGeneration',
    summary: 'One generation of the authority.',
    answers: { 200: json('The generation.', GENERATION_IN_ROLE) },
    errors: ['authority_unknown'],
  },
  'DELETE /ca/generations/{thumbprint}': {
    id: 'deleteCaGeneration',
    summary: 'Deletes a retired generation with its key.',
    answers: NO_CONTENT,
    errors: ['authority_in_use', 'authority_unknown'],
  },
  'GET /ca/trust-bundle.pem': {
    id: 'getTrustBundle',
    summary: 'The roots that agents trust.',
    answers: { 200: { description: 'PEM.', types: { 'application/x-pem-file': text } } },
  },
  'POST /ca/export': {
    id: 'exportCa',
    summary: 'The authority with its private key, as PKCS#12 under a password.',
    answers: {
      200: json(
        'The file.',
        object({
          thumbprint: sha256,
          alias: text,
          content: { type: 'string', contentEncoding: 'base64' },
          fileName: text,
        }),
      ),
    },
    errors: ['authority_unknown', 'export_password_weak'],
    example: { body: { password: 'correct horse battery staple' } },
  },
  'POST /ca/import': {
    id: 'importCa',
    summary: 'Replaces the authority before the first agent trusts it.',
    answers: { 200: json('Done, or what a dry run found.', reportOf(object(GENERATION))) },
    errors: [...OF_FILE, ...OF_STEP, 'authority_known', 'authority_next_there', 'authority_unfit'],
  },
  'GET /ca/rotation': {
    id: 'getCaRotation',
    summary: 'How far the rotation of the authority is, and the next step.',
    answers: {
      200: json(
        'The rotation.',
        object({
          phase: words(PHASES),
          phaseChangedAt: timeOrNull,
          next: { ...text, description: 'what comes next, and what it needs' },
          change: CHANGE_REFERENCE,
          trust: object({
            registeredCount: count,
            acknowledgedCount: count,
            unencryptedCount: count,
            missingCount: count,
          }),
          certificates: object({ renewedCount: count, missingCount: count }),
          profiles: array(object({ profile: text, file: text, code: text, text })),
        }),
      ),
    },
  },
  'GET /ca/rotation/agents': {
    id: 'listCaRotationAgents',
    summary: 'The agents that are not ready for the next step, and why.',
    answers: {
      200: json(
        'A page.',
        listOf(object({ agent: AGENT_REFERENCE, reason: text, detail: text, startedAt: timeOrNull })),
      ),
    },
    example: { query: { reason: 'offline' } },
  },
  'POST /ca/rotation/prepare': {
    id: 'prepareCaRotation',
    summary: 'Creates the next authority, or takes one from a file.',
    answers: STEP,
    errors: [...OF_FILE, ...OF_STEP, 'authority_known', 'authority_unfit'],
    example: { query: { dryRun: 'true' } },
  },
  'POST /ca/rotation/publish': {
    id: 'publishCaRotation',
    summary: 'Sends the root of the next authority to the agents.',
    answers: STEP,
    errors: OF_STEP,
  },
  'POST /ca/rotation/switch': {
    id: 'switchCaRotation',
    summary: 'From now on the next authority signs.',
    answers: { ...STEP, 202: { ...STEP[200], description: 'Done, and rolled back unless it is confirmed.' } },
    errors: OF_STEP,
  },
  'POST /ca/rotation/retire': {
    id: 'retireCaRotation',
    summary: 'The previous authority is no longer trusted.',
    answers: STEP,
    errors: OF_STEP,
  },
  'POST /ca/rotation/rollback': {
    id: 'rollBackCaRotation',
    summary: 'Takes the last step back.',
    answers: STEP,
    errors: OF_STEP,
  },
  'GET /crl.der': {
    id: 'getRevocationList',
    summary: 'The revocation list of the authority that signs now (RFC 5280).',
    answers: {
      200: { description: 'DER.', types: { 'application/pkix-crl': { type: 'string', format: 'binary' } } },
      304: UNCHANGED,
    },
    errors: ['crl_unavailable'],
  },
  'GET /crl.pem': {
    id: 'getRevocationLists',
    summary: 'The revocation lists of all authorities that are trusted.',
    answers: { 200: { description: 'PEM.', types: { 'application/x-pem-file': text } }, 304: UNCHANGED },
    errors: ['crl_unavailable'],
  },
};

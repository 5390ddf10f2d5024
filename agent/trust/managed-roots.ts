// Records which certificates in the truststore Central added, so that they can be removed when Central withdraws
// them. All other entries were imported manually and are never touched.
import { join } from 'node:path';
import { replaceFile } from '../../shared/files/atomic-file.ts';
import { readBoundedFile } from '../../shared/files/bounded-file.ts';
import { textOf } from '../../shared/errors.ts';
import { validate, type JsonSchema, type Static } from '../../shared/wire/json-schema.ts';
import { agentFault } from '../errors.ts';

const TRUST_FILE = 'trust.json';
const MAX_FILE_BYTES = 64 * 1024;

const RECORD = {
  type: 'object',
  required: ['thumbprints'],
  properties: {
    /** SHA-256 of the certificates, lower-case hex. */
    thumbprints: {
      type: 'array',
      maxItems: 256,
      items: { type: 'string', minLength: 64, maxLength: 64, pattern: '^[0-9a-f]{64}$' },
    },
  },
} as const satisfies JsonSchema;

/** Thumbprints of what Central gave and is in the truststore. Errors: trust_record_damaged, file faults. */
export async function loadManagedRoots(folder: string): Promise<string[]> {
  const file = join(folder, TRUST_FILE);
  const bytes = await readBoundedFile({
    path: file,
    what: 'The record of what Central gave',
    maxBytes: MAX_FILE_BYTES,
    hint: 'Remove it.',
    ifMissing: 'ignore',
  });
  if (bytes === undefined) return [];
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw agentFault('trust_record_damaged', { file, found: textOf(error) }, error);
  }
  const found = validate(RECORD, value);
  if (found !== undefined) throw agentFault('trust_record_damaged', { file, found });
  // `validate` has just shown it.
  return [...(value as Static<typeof RECORD>).thumbprints];
}

export async function saveManagedRoots(folder: string, thumbprints: Iterable<string>): Promise<void> {
  await replaceFile(
    join(folder, TRUST_FILE),
    Buffer.from(`${JSON.stringify({ thumbprints: [...new Set(thumbprints)] })}\n`),
    0o600,
  );
}

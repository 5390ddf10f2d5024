// The certificates that Central gave this agent to trust it by: a PEM file in the data folder, which Central's updates
// replace as a whole. What the agent trusts is the truststore of its profile united with them. The profile is never
// written: it comes by hand or as a release, and would no longer be what was placed there.
import { join } from 'node:path';
import { replaceFile } from '../../shared/files/atomic-file.ts';
import { readBoundedFile } from '../../shared/files/bounded-file.ts';
import { makeFolder } from '../../shared/files/disk-faults.ts';
import { textOf } from '../../shared/errors.ts';
import { certificatesInPem } from '../../shared/x509/certificates.ts';
import { pemOf } from '../../shared/x509/pem.ts';
import { agentFault } from '../errors.ts';

const MAX_FILE_BYTES = 1024 * 1024;

export function trustFolder(dataFolder: string): string {
  return join(dataFolder, 'trust');
}

export function trustFile(dataFolder: string): string {
  return join(trustFolder(dataFolder), 'central.pem');
}

/** DER, in Central's order; empty: Central gave none yet. Errors: trust_file_damaged, file faults. */
export async function loadManagedRoots(dataFolder: string): Promise<Buffer[]> {
  const file = trustFile(dataFolder);
  const bytes = await readBoundedFile({
    path: file,
    what: 'The file with the roots of Central',
    maxBytes: MAX_FILE_BYTES,
    hint: 'Remove it.',
    ifMissing: 'ignore',
  });
  if (bytes === undefined) return [];
  try {
    return certificatesInPem(bytes.toString('latin1')).map(({ raw }) => raw);
  } catch (error) {
    throw agentFault('trust_file_damaged', { file, found: textOf(error) }, error);
  }
}

/** False: they are there already. */
export async function saveManagedRoots(dataFolder: string, certificates: readonly Buffer[]): Promise<boolean> {
  // A file that cannot be read is replaced by what Central sent, which ends the fault. Where it cannot be replaced
  // either, that is thrown here, and until then each dial reports what loadManagedRoots throws.
  const before = await loadManagedRoots(dataFolder).catch(() => undefined);
  if (before !== undefined && Buffer.concat(before).equals(Buffer.concat(certificates))) return false;
  await makeFolder(trustFolder(dataFolder), 0o700);
  const pem = certificates.map((der) => pemOf('CERTIFICATE', der)).join('');
  await replaceFile(trustFile(dataFolder), Buffer.from(pem), 0o600);
  return true;
}

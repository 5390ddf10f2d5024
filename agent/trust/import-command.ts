// The command that a hint names when the root of Central is missing: it has to run as it is printed, so the path is in
// quotes, and a file without a known ending gets its type. For an enrollment the pin counts instead of a file.
import { isAbsolute } from 'node:path';
import { formatByEnding } from '../../shared/truststore/write.ts';

/** Makes the store, or adds to it. */
export function importCommand(truststore: string, certificate: string): string {
  const type = formatByEnding(truststore) === undefined ? ' --type jks' : '';
  return `queue-agent truststore import "${truststore}" --certificate ${certificate}${type}`;
}

/** What to do when the certificate of Central is not trusted. */
export function trustHint(truststore: string): string {
  return isAbsolute(truststore)
    ? `run "queuegate ca trust-bundle" on Central, then here: ${importCommand(truststore, 'root.pem')}`
    : 'compare the pin with "queuegate ca show" on Central, and use the line that "queuegate enrollment-tokens create" prints there.';
}

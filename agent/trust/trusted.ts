// What the agent trusts Central by: the truststore of its profile united with what Central gave (managed-roots.ts).
import { isCoded } from '../../shared/errors.ts';
import type { AgentConf } from '../conf.ts';
import { loadManagedRoots, trustFile } from './managed-roots.ts';
import { loadTruststore, readTrusted, type TrustedCertificate, type Truststore } from './truststore.ts';

export interface Trusted {
  /** For `ca` of tls.connect; see `Truststore.ca`. Each certificate once. */
  readonly ca: readonly string[];
  /** Of the profile; undefined: it has none, and needs none. */
  readonly truststore: Truststore | undefined;
  /** What Central gave. */
  readonly fromCentral: readonly TrustedCertificate[];
  readonly warnings: readonly string[];
}

/**
 * A profile that trusts nothing by itself: what Central gave is enough. Anything else that is wrong with its truststore
 * is an error.
 */
const NOTHING_THERE = ['file_missing', 'truststore_of_system', 'keystore_no_entries'];

/** Errors: those of `loadTruststore`, and trust_file_damaged; `ca` is never empty. */
export async function loadTrusted(
  { truststore: settings, dataFolder }: Pick<AgentConf, 'truststore' | 'dataFolder'>,
  now = new Date(),
): Promise<Trusted> {
  const file = trustFile(dataFolder);
  const managed = readTrusted(
    (await loadManagedRoots(dataFolder)).map((der, place) => ({ alias: `Central ${place + 1}`, der })),
    file,
    now,
  );
  const truststore = await loadTruststore({ ...settings, now }).catch((error: unknown) => {
    if (managed.ca.length > 0 && isCoded(error, ...NOTHING_THERE)) return undefined;
    throw error;
  });
  const own = truststore?.certificates ?? [];
  const known = new Set(own.map((certificate) => certificate.thumbprint));
  const added = managed.certificates.filter((certificate) => !known.has(certificate.thumbprint));
  return {
    ca: [...(truststore?.ca ?? []), ...added.map(({ pem }) => pem)],
    truststore,
    fromCentral: managed.certificates,
    warnings: [...(truststore?.warnings ?? []), ...managed.warnings],
  };
}

// Finds the truststore of a profile and its password from the configuration: for the agent that runs with the
// profile, and for Central, which updates the profiles it keeps.
import { isAbsolute, join, win32 } from 'node:path';
import { nativePath } from '../platform/files.ts';
import { truststoreOf } from './jvm-args.ts';
import { pathHints, systemStore } from './path-hints.ts';

interface ProfileTruststoreSettings {
  /** `profiles/<name>`. */
  readonly folder: string;
  /** `truststore` and `truststore.password`; empty: not set. */
  readonly truststore: string;
  readonly password: string;
  /** `jetty.jvm.args`, taken apart. */
  readonly jvmArgs: readonly string[];
}

export interface ProfileTruststore {
  readonly path: string;
  /** Undefined: `changeit` is tried. */
  readonly password: string | undefined;
  readonly declaredType: string | undefined;
  /** Which of the settings named it. */
  readonly from: 'truststore' | 'jetty.jvm.args' | 'default';
  /**
   * The setting that names the store of the operating system, which is not supported: `path` is the default instead.
   */
  readonly system: string | undefined;
  /** What is wrong with the path, should there be no file. */
  readonly hints: readonly string[];
  /** Where the password is set. */
  readonly passwordHint: string;
}

/** The password in jetty.jvm.args belongs to the store that is named there, not to one that replaces it. */
export function profileTruststore({
  folder,
  truststore,
  password,
  jvmArgs,
}: ProfileTruststoreSettings): ProfileTruststore {
  const jvm = truststoreOf(jvmArgs);
  const own = truststore || undefined;
  const system = own === undefined ? systemStore(jvm.path, jvm.type) : undefined;
  const named = own === undefined && system === undefined ? jvm.path : undefined;
  const path = own ?? named ?? 'conf/security/truststore.jks';
  return {
    path: inProfile(folder, path),
    password: password || (own === undefined && system === undefined ? jvm.password : undefined),
    declaredType: own === undefined && system === undefined ? jvm.type : undefined,
    from: own !== undefined ? 'truststore' : named !== undefined ? 'jetty.jvm.args' : 'default',
    system,
    hints: pathHints(path, named !== undefined && jvm.cutAtBlank),
    passwordHint:
      own === undefined
        ? 'truststore.password in agent.local.conf, or -Djavax.net.ssl.trustStorePassword in jetty.jvm.args'
        : 'truststore.password in agent.local.conf',
  };
}

/** A profile made on Windows and used elsewhere may say conf\security\truststore.jks. */
export function inProfile(folder: string, path: string): string {
  if (isAbsolute(path) || win32.isAbsolute(path)) return path;
  return join(folder, nativePath(path));
}

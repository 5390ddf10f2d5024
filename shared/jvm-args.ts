// Owns reading jetty.jvm.args as a JVM's command line, for the three options in it that say what the field's agent trusts.

export interface JvmTruststore {
  readonly path: string | undefined;
  readonly password: string | undefined;
  readonly type: string | undefined;
}

/**
 * Splits at white space; "..." and '...' hold it together, also inside an argument. A backslash is an ordinary character:
 * the paths are Windows'. So is a quote that is never closed (-Dbranch=O'Brien).
 */
export function splitJvmArgs(line: string): string[] {
  return (line.match(/(?:"[^"]*"|'[^']*'|\S)+/g) ?? []).map((argument) => argument.replaceAll(/"([^"]*)"|'([^']*)'/g, '$1$2'));
}

/** The trust store options; as for the JVM the last of several counts, and an empty one is none. */
export function truststoreOf(args: readonly string[]): JvmTruststore {
  const value = (option: string): string | undefined => {
    const start = `-Djavax.net.ssl.${option}=`;
    return args.findLast((argument) => argument.startsWith(start))?.slice(start.length) || undefined;
  };
  return { path: value('trustStore'), password: value('trustStorePassword'), type: value('trustStoreType') };
}

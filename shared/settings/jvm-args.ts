// Reads jetty.jvm.args as the command line of a JVM, for the three options that say what the agents in the field
// trust.

interface JvmTruststore {
  readonly path: string | undefined;
  readonly password: string | undefined;
  readonly type: string | undefined;
  /** The argument behind the path is not an option: the path has a blank and no quotes. */
  readonly cutAtBlank: boolean;
}

/**
 * Splits at white space; "..." and '...' hold it together, also inside an argument. A backslash is an ordinary
 * character: the paths are Windows'. So is a quote that is never closed (-Dbranch=O'Brien).
 */
export function splitJvmArgs(line: string): string[] {
  const found: string[] = [];
  let argument: string[] | undefined;
  // From the last one of its kind on nothing closes a quote any more: it need not be looked for again.
  const last: Readonly<Record<string, number>> = { '"': line.lastIndexOf('"'), "'": line.lastIndexOf("'") };
  for (let offset = 0; offset < line.length;) {
    const character = line.charAt(offset);
    if (character.trim() === '') {
      if (argument !== undefined) found.push(argument.join(''));
      argument = undefined;
      offset += 1;
      continue;
    }
    const close = offset < (last[character] ?? -1) ? line.indexOf(character, offset + 1) : offset;
    (argument ??= []).push(close === offset ? character : line.slice(offset + 1, close));
    offset = close + 1;
  }
  if (argument !== undefined) found.push(argument.join(''));
  return found;
}

/** The trust store options; as for the JVM the last of several counts, and an empty one is none. */
export function truststoreOf(args: readonly string[]): JvmTruststore {
  const value = (option: string): string | undefined => {
    const start = `-Djavax.net.ssl.${option}=`;
    return args.findLast((argument) => argument.startsWith(start))?.slice(start.length) || undefined;
  };
  const place = args.findLastIndex((argument) => argument.startsWith('-Djavax.net.ssl.trustStore='));
  const behind = place === -1 ? undefined : args[place + 1];
  return {
    path: value('trustStore'),
    password: value('trustStorePassword'),
    type: value('trustStoreType'),
    cutAtBlank: behind !== undefined && !behind.startsWith('-'),
  };
}

// Says what is wrong with the path of a truststore when the path itself shows it: lost backslashes, a missing quote, a
// variable. Java reads properties and arguments so too, but the shell or the installer that once expanded them is not
// here.
import { isForeignPath } from '../platform/files.ts';

/**
 * Sentences for the hint; empty when the path shows nothing. `cutAtBlank`: the next argument does not begin with a
 * dash.
 */
export function pathHints(path: string, cutAtBlank = false): string[] {
  const hints: string[] = [];
  if (/^[A-Za-z]:[^\\/]/.test(path))
    hints.push(
      'The path has a drive but no backslash behind it: in agent.conf a backslash is written twice (C:\\\\qsystem\\\\truststore.jks), or as / (C:/qsystem/truststore.jks).',
    );
  const [variable] = /\$\{[^}]*\}?|%[A-Za-z_][A-Za-z0-9_]*%|^~|\$[A-Za-z_][A-Za-z0-9_]*/.exec(path) ?? [];
  if (variable !== undefined) hints.push(`${variable} is not expanded here: write the path itself.`);
  if (cutAtBlank)
    hints.push(
      'The path ends at a blank: put it into quotes (-Djavax.net.ssl.trustStore="C:\\\\Program Files\\\\queue\\\\truststore.jks").',
    );
  if (/^["']|["']$/.test(path))
    hints.push('The path has a quotation mark at its end or beginning: remove it, or close it.');
  if (path !== path.trim()) hints.push('The path begins or ends with a blank: remove it.');
  if (/^file:/i.test(path)) hints.push('A path is needed, not a URL: leave "file:" out.');
  if (isForeignPath(path)) hints.push('This is a path of Windows, and this machine does not run Windows.');
  return hints;
}

/** Types of Java that are the certificates of the operating system or of a token instead of a file. */
const SYSTEM_TYPES = /^(?:windows-|keychainstore|pkcs11)/i;

/** What names the store of the system: its type, or trustStore=NONE. */
export function systemStore(path: string | undefined, type: string | undefined): string | undefined {
  if (type !== undefined && SYSTEM_TYPES.test(type)) return `trustStoreType=${type}`;
  return path?.toUpperCase() === 'NONE' ? `trustStore=${path}` : undefined;
}

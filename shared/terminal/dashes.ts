// Finds the dash that a word processor, a chat or a web page makes of "--": the line was copied from there, and looks
// right.

/** What editors put in the place of one or two hyphens (Unicode dashes, and the minus sign). */
const DASH = /^[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]+/u;

/** A sentence for the first argument that begins with such a dash; undefined when there is none. */
export function wrongDash(args: readonly string[]): string | undefined {
  const found = args.find((word) => DASH.test(word));
  if (found === undefined) return undefined;
  return `"${found}" begins with a dash that is not a hyphen; type --${found.replace(DASH, '')} with two hyphens (an editor or a chat replaced them)`;
}

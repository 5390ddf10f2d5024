// Escapes text that came from elsewhere before it is printed: nothing in it may move a terminal's cursor, hide the text
// beside it, or change the order in which it is read.

/**
 * C0 and C1 controls; the bidirectional controls of Unicode (UAX #9: marks, embeddings, overrides, isolates), which
 * make a line read other than it is ("Trojan Source"); line and paragraph separators; the byte order mark; halves of
 * surrogate pairs.
 */
const UNPRINTABLE = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\p{Cs}]/gu;
/** The same, but line feeds and tabs stay: for text of several lines that this program put together. */
const UNPRINTABLE_IN_LINES = /(?![\n\t])[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\p{Cs}]/gu;

function escaped(character: string): string {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
}

/**
 * One line of text in which whatever a terminal would act on is written as \uXXXX. Inside a JSON string that is the
 * same string.
 */
export function escapeLine(text: string): string {
  return text.replace(UNPRINTABLE, escaped);
}

/** As `escapeLine`, but keeps line feeds and tabs. */
export function escapeLines(text: string): string {
  return text.replace(UNPRINTABLE_IN_LINES, escaped);
}

/** A word of a line that is to be copied into a shell: quoted where a POSIX shell would take it apart. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./\\-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

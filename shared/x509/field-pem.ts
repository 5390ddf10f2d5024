// Puts PEM as the field has it into the form of RFC 7468, in linear time: blocks on one line (environment variables,
// JSON), line breaks written as \n, two files joined without a line break, control characters around the marks.
// Well-formed text stays as it is, byte by byte.

export interface RegularPem {
  readonly text: string;
  /** What was put right, as sentences for the owner of the file. */
  readonly notes: readonly string[];
}

/** Labels have at most 64 characters here (pem.ts). */
const MARK = /-----(BEGIN|END) [^\r\n-]{1,64}-----/g;
/** What an editor, a browser or a mail program puts into base64 without showing it. */
const INVISIBLE = /[\u00a0\u200b-\u200d\u2060\ufeff\u2028\u2029\v\f]/g;
/** JSON in JSON doubles the backslash. A run of backslashes is tried from its first one only: that keeps it linear. */
const WRITTEN_BREAK = /(?<!\\)\\+[rn]/g;
const ELSEWHERE = 'keytool and openssl do not read it so';

interface Mark {
  readonly begins: boolean;
  readonly start: number;
  readonly end: number;
}

/** The same blocks, each mark on a line of its own. */
export function regularPem(text: string): RegularPem {
  const notes = new Map<string, number>();
  const parts: string[] = [];
  let changed = false;
  let previous: Mark | undefined;
  for (const found of text.matchAll(MARK)) {
    const mark: Mark = { begins: found[1] === 'BEGIN', start: found.index, end: found.index + found[0].length };
    const between = text.slice(previous?.end ?? 0, mark.start);
    const body = previous?.begins === true && !mark.begins;
    const kept = body ? regularBody(between) : between;
    if (kept !== between && between.includes('\\')) note(notes, 'line breaks are written as \\n', mark.start);
    const [opened, closed] = [previous === undefined || endsLine(kept, 'first'), endsLine(kept, 'last')];
    const alone = previous === undefined && kept.trim() === '' ? true : closed;
    if (!opened || !alone) note(notes, problemOf(previous, mark, between), mark.start);
    parts.push(opened ? '' : '\n', kept, alone ? '' : '\n', found[0]);
    changed ||= !opened || !alone || kept !== between;
    previous = mark;
  }
  if (previous === undefined) return { text, notes: [] };
  const rest = text.slice(previous.end);
  if (!endsLine(rest, 'first') && rest !== '') {
    changed = true;
    parts.push('\n');
  }
  parts.push(rest);
  return changed ? { text: parts.join(''), notes: sentences(notes, text) } : { text, notes: [] };
}

function regularBody(body: string): string {
  const written = body.includes('\\') ? body.replaceAll(WRITTEN_BREAK, '\n') : body;
  return written.replaceAll(INVISIBLE, '');
}

/** Nothing but blanks between the mark and the line break before (`last`) or behind (`first`) it. */
function endsLine(text: string, side: 'first' | 'last'): boolean {
  const step = side === 'first' ? 1 : -1;
  let at = side === 'first' ? 0 : text.length - 1;
  while (text[at] === ' ' || text[at] === '\t' || text[at] === '\ufeff') at += step;
  return text[at] === '\n' || text[at] === '\r';
}

function problemOf(previous: Mark | undefined, { begins }: Mark, between: string): string {
  if (begins && previous?.begins === false && between.trim() === '')
    return 'END and BEGIN are on one line: put a line break between them';
  return begins
    ? 'BEGIN does not begin its line: put a line break before it'
    : 'a block is on one line: put BEGIN, the base64 and END on lines of their own';
}

function note(notes: Map<string, number>, problem: string, offset: number): void {
  if (!notes.has(problem)) notes.set(problem, offset);
}

/** Each with the line of its first occurrence. */
function sentences(notes: ReadonlyMap<string, number>, text: string): string[] {
  return [...notes].map(([problem, offset]) => {
    const line = text.slice(0, offset).split(/\r\n|\n|\r/).length;
    return `line ${line}: ${problem} (${ELSEWHERE}).`;
  });
}

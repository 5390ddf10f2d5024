// Reads PEM (RFC 7468) in linear time: a label, lines of base64, the end mark. The only reader of PEM for text from
// outside; libraries get the DER that is in it, since their own patterns backtrack (@peculiar/x509 exponentially on
// header lines). Writes it too.

/** One block, its lines trimmed and not decoded yet: what is not asked for need not be base64. */
export interface PemBlock {
  readonly label: string;
  /** Of BEGIN and of END, counted from 1. */
  readonly line: number;
  readonly lastLine: number;
  readonly body: readonly string[];
}

export interface PemLimits {
  /** Of the whole text, in UTF-16 units. */
  readonly maxLength: number;
  readonly maxBlocks: number;
}

/**
 * Answers and requests hold a chain or some roots; files of stores have bounds of their own (shared/keystore/pem.ts).
 */
export const PEM_LIMITS: PemLimits = { maxLength: 256 * 1024, maxBlocks: 100 };

/** RFC 7468 names labels of 26 characters at most; a longer one belongs to no format. */
const MAX_LABEL = 64;
const EDGE = /^-----(BEGIN|END) ([^-]*)-----$/;
const MAX_EDGE = '-----BEGIN -----'.length + MAX_LABEL;

type PemFaultKind = 'open' | 'crossed' | 'limit';

/** The text is not valid PEM; the message is the end of a sentence. */
export class PemFault extends Error {
  readonly kind: PemFaultKind;

  constructor(kind: PemFaultKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

interface PemReport {
  /** What is between blocks, line by line. */
  onText?(line: string): void;
  /** A block without its end is passed over instead of ending the text. */
  onFault?(fault: PemFault): void;
}

/**
 * Blocks without their end that are passed over: each costs an error with its stack, and a file of thousands is not a
 * bundle.
 */
const MAX_FAULTS = 1_000;

/** Each block in turn. Throws PemFault. */
export function* pemBlocks(text: string, limits: PemLimits, report: PemReport = {}): Generator<PemBlock> {
  for (const block of pemSteps(text, limits, report)) if (block !== undefined) yield block;
}

/** So many take 1 ms at most, whatever they are. */
const LINES_PER_STEP = 1_000;

/** As pemBlocks; with undefined in between, where the reader of a large text may pause. Throws PemFault. */
export function* pemSteps(text: string, limits: PemLimits, report: PemReport = {}): Generator<PemBlock | undefined> {
  let faults = 0;
  const fail = (fault: PemFault): void => {
    if (report.onFault === undefined) throw fault;
    faults += 1;
    if (faults > MAX_FAULTS) throw new PemFault('limit', `it has more than ${MAX_FAULTS} PEM blocks without their end`);
    report.onFault(fault);
  };
  if (text.length > limits.maxLength)
    throw new PemFault('limit', `it has ${text.length} characters; allowed are ${limits.maxLength}`);
  let open: { label: string; line: number; body: string[] } | undefined;
  let blocks = 0;
  let number = 0;
  for (const line of linesOf(text)) {
    number += 1;
    if (number % LINES_PER_STEP === 0) yield undefined;
    const [, edge, label = ''] = (line.startsWith('-----') && line.length <= MAX_EDGE ? EDGE.exec(line) : null) ?? [];
    if (open === undefined) {
      if (edge === 'BEGIN') open = { label, line: number, body: [] };
      else report.onText?.(line);
    } else if (edge === undefined) {
      open.body.push(line);
    } else {
      if (edge === 'BEGIN' || label !== open.label) {
        const met = `"BEGIN ${open.label}" of line ${open.line} meets "${edge} ${label}" on line ${number}`;
        fail(new PemFault('crossed', met));
        blocks += 1;
        if (blocks > limits.maxBlocks) throw new PemFault('limit', `it has more than ${limits.maxBlocks} PEM blocks`);
        open = edge === 'BEGIN' ? { label, line: number, body: [] } : undefined;
        continue;
      }
      blocks += 1;
      if (blocks > limits.maxBlocks) throw new PemFault('limit', `it has more than ${limits.maxBlocks} PEM blocks`);
      yield { label, line: open.line, lastLine: number, body: open.body };
      open = undefined;
    }
  }
  if (open !== undefined) fail(new PemFault('open', `"BEGIN ${open.label}" of line ${open.line} has no END`));
}

/** The bytes of a block; undefined when its lines are anything but base64 (RFC 4648 section 4, padded). */
export function decodeBlock({ body }: Pick<PemBlock, 'body'>): Buffer | undefined {
  const text = body.join('').replaceAll(/[ \t]/g, '');
  return text !== '' && text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text)
    ? Buffer.from(text, 'base64')
    : undefined;
}

/**
 * The DER of all blocks with one of these labels, in the order of the text; others are passed over. Throws PemFault and
 * TypeError.
 */
export function derInPem(text: string, labels: readonly string[], limits: PemLimits = PEM_LIMITS): Buffer[] {
  const found: Buffer[] = [];
  for (const block of pemBlocks(text, limits)) {
    if (!labels.includes(block.label)) continue;
    const der = decodeBlock(block);
    if (der === undefined) throw new TypeError(`the lines of "${block.label}" on line ${block.line} are not base64`);
    found.push(der);
  }
  return found;
}

/** RFC 7468: base64 in lines of 64 between its two marks. */
export function pemOf(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString('base64');
  return `-----BEGIN ${label}-----\n${base64.replaceAll(/(.{64})(?=.)/g, '$1\n')}\n-----END ${label}-----\n`;
}

/** Lines, trimmed. Neither a pattern nor a list: a text of line ends alone would make one of millions. */
function* linesOf(text: string): Generator<string> {
  let begin = 0;
  let [feed, carriage] = [text.indexOf('\n'), text.indexOf('\r')];
  while (begin <= text.length) {
    // Each mark is looked for only once it has been passed: the whole text is scanned twice at most.
    if (feed !== -1 && feed < begin) feed = text.indexOf('\n', begin);
    if (carriage !== -1 && carriage < begin) carriage = text.indexOf('\r', begin);
    const end = feed === -1 ? carriage : carriage === -1 ? feed : Math.min(feed, carriage);
    yield (end === -1 ? text.slice(begin) : text.slice(begin, end)).trim();
    if (end === -1) return;
    begin = end + (end === carriage && feed === end + 1 ? 2 : 1);
  }
}

// Bounds a page of a list by the text in it: a thousand messages of 256 KiB are neither in memory for one request, nor
// written in one turn of the event loop.

/** UTF-16 units: a page ends with the entry that reaches this. */
export const PAGE_TEXT = 1024 * 1024;

/** The text in an entry, if it has one. */
type TextOf<T> = (entry: T) => string | null;

export class TextPage<T> {
  readonly entries: T[] = [];
  readonly #limit: number;
  readonly #textOf: TextOf<T>;
  #text = 0;

  constructor(limit: number, textOf: TextOf<T>) {
    this.#limit = limit;
    this.#textOf = textOf;
  }

  add(entry: T): void {
    this.entries.push(entry);
    this.#text += this.#textOf(entry)?.length ?? 0;
  }

  /** No more belongs into this page. */
  get isFull(): boolean {
    return this.entries.length >= this.#limit || this.#text >= PAGE_TEXT;
  }
}

/** Whether a page was full: there may be more behind it. */
export function mayHaveMore<T>(page: readonly T[], limit: number, textOf: TextOf<T>): boolean {
  const again = new TextPage<T>(limit, textOf);
  for (const entry of page) again.add(entry);
  return again.isFull;
}

// The one shape of an error that an operator may see: code, text and hint. The error tables are with their subjects;
// docs/ERRORS.md is checked against all of them.

/** One row of an error table. `{name}` in text or hint is filled from the error's parameters. */
export interface ErrorDefinition {
  /** What happened, as one sentence. */
  readonly text: string;
  /** What the reader has to do. */
  readonly hint: string;
  /** HTTP status when it reaches a REST client (RFC 9457); 500 when absent. */
  readonly status?: number;
  /** WebSocket close code: 4400-4499 terminal, 4500-4599 to be retried. */
  readonly close?: number;
  /** The same act may succeed later without a repair. Absent: true for status 503 and the close codes 4500-4599. */
  readonly retryable?: boolean | undefined;
}

export type ErrorTable = Readonly<Record<string, ErrorDefinition>>;

type Placeholders<S extends string> = S extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Placeholders<Rest>
  : never;
export type ParametersOf<D extends ErrorDefinition> = Record<
  Placeholders<D['text']> | Placeholders<D['hint']>,
  string | number
>;

interface EntryText {
  /** What is wrong there: a sentence. */
  readonly detail: string;
  readonly allowed: readonly string[] | null;
  readonly found: string | null;
}
/** One faulty place of a request: a member of its body (`#/role`), a query parameter, or a header. */
export type ProblemEntry =
  | (EntryText & { readonly pointer: string })
  | (EntryText & { readonly parameter: string })
  | (EntryText & { readonly header: string });

/** What a problem document has beside the members that all of them have. */
export interface ProblemDetails {
  /** Every faulty place that was found; the document lists the first ones. */
  readonly entries?: readonly ProblemEntry[] | undefined;
  /** Members that belong to the code. */
  readonly members?: Readonly<Record<string, unknown>> | undefined;
}

/** An error with a stable code. Compare codes, never texts. */
export class CodedError extends Error {
  readonly code: string;
  readonly hint: string;
  readonly status: number;
  readonly close: number | undefined;
  readonly retryable: boolean;
  /** What filled the placeholders, for programs. */
  readonly parameters: Readonly<Record<string, string | number>>;

  constructor(
    code: string,
    definition: ErrorDefinition,
    parameters: Readonly<Record<string, string | number>>,
    cause?: unknown,
  ) {
    super(fill(definition.text, parameters), cause === undefined ? undefined : { cause });
    this.name = 'CodedError';
    this.code = code;
    this.hint = fill(definition.hint, parameters);
    this.status = definition.status ?? 500;
    this.close = definition.close;
    this.retryable =
      definition.retryable ??
      (definition.status === 503 || (definition.close !== undefined && definition.close >= 4500));
    this.parameters = parameters;
  }

  /** For subclasses that know more than their text. */
  get problem(): ProblemDetails {
    return {};
  }
}

/** An error whose problem document says more than its text. */
export class DetailedError extends CodedError {
  override readonly parameters: CodedError['parameters'];
  readonly #problem: ProblemDetails;

  constructor(error: CodedError, problem: ProblemDetails) {
    // Its placeholders are filled already: braces that are left came with the request.
    const { code, message, hint, status, retryable, cause } = error;
    super(code, { text: message, hint, status, retryable }, {}, cause);
    this.parameters = error.parameters;
    this.#problem = problem;
  }

  override get problem(): ProblemDetails {
    return this.#problem;
  }
}

/**
 * Makes the constructor of one table's errors: `fault('code', {placeholders}, cause)`.
 * The compiler knows each code's placeholders.
 */
export function defineErrors<const T extends ErrorTable>(table: T) {
  return function fault<C extends keyof T & string>(
    code: C,
    parameters: ParametersOf<T[C]>,
    cause?: unknown,
  ): CodedError {
    return new CodedError(code, table[code] as ErrorDefinition, parameters, cause);
  };
}

/** The title of a problem document (RFC 9457 section 3.1.3): the same for every occurrence of a code. */
export function titleOf(code: string): string {
  const words = code.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** True when `error` is a CodedError with one of `codes` (any code when none is given). */
export function isCoded(error: unknown, ...codes: string[]): error is CodedError {
  return error instanceof CodedError && (codes.length === 0 || codes.includes(error.code));
}

/** The text of anything thrown, for a log line or a `found` placeholder. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What a command line prints for an error: `error: text` and the hint below it; never a stack trace. */
export function printable(error: unknown): string {
  if (isCoded(error)) return `error: ${error.message}\n  ${error.hint}\n  (${error.code})`;
  return `error: ${textOf(error)}`;
}

/** The code of a Node.js system error (ENOENT, EADDRINUSE, ...), if it has one. */
export function systemCode(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}

/** `{name}` becomes its parameter. One that is a sentence by itself does not end the sentence around it twice. */
function fill(template: string, parameters: Readonly<Record<string, string | number>>): string {
  return template.replaceAll(/\{(\w+)\}(\.?)/g, (whole, name: string, stop: string) => {
    if (!(name in parameters)) return whole;
    const text = String(parameters[name]);
    return text.endsWith('.') ? text : text + stop;
  });
}

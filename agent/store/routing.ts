// Decides which consumer a command belongs to, by its type. Each command has exactly one consumer, which is fixed when
// the command is stored.

/** The consumer of all commands that no pattern matches. It always exists. */
export const DEFAULT_CONSUMER = 'default';

/** A consumer and the patterns of the types that it gets: a type, or the beginning of types with `*` at its end. */
export interface ConsumerTypes {
  readonly name: string;
  readonly types: readonly string[];
}

/** A command is routed by a lookup; a producer that invents types must not make the agent keep them all. */
const MAX_REMEMBERED_TYPES = 1_000;

/** Types to consumers: the longest pattern wins, and a whole type wins over the same text with `*`. */
export class Routing {
  readonly consumers: readonly ConsumerTypes[];
  readonly #whole = new Map<string, string>();
  /** Longest first. */
  readonly #prefixes: readonly { readonly prefix: string; readonly consumer: string }[];
  readonly #remembered = new Map<string, string>();

  constructor(consumers: readonly ConsumerTypes[] = []) {
    this.consumers = consumers.some(({ name }) => name === DEFAULT_CONSUMER)
      ? consumers
      : [{ name: DEFAULT_CONSUMER, types: [] }, ...consumers];
    const prefixes: { readonly prefix: string; readonly consumer: string }[] = [];
    for (const { name, types } of consumers)
      for (const pattern of types) {
        if (pattern.endsWith('*')) prefixes.push({ prefix: pattern.slice(0, -1), consumer: name });
        else this.#whole.set(pattern, name);
      }
    this.#prefixes = prefixes.toSorted((one, other) => other.prefix.length - one.prefix.length);
  }

  consumerOf(type: string): string {
    const known = this.#whole.get(type) ?? this.#remembered.get(type);
    if (known !== undefined) return known;
    const found = this.#prefixes.find(({ prefix }) => type.startsWith(prefix))?.consumer ?? DEFAULT_CONSUMER;
    if (this.#remembered.size >= MAX_REMEMBERED_TYPES) this.#remembered.clear();
    this.#remembered.set(type, found);
    return found;
  }
}

// The shape of a row in the table of parameters (definitions.ts).

type Unit = 'bytes' | 'bytes per second' | 'seconds' | 'days' | 'items' | 'agents' | 'port';

interface Common {
  readonly group: string;
  /** For an administrator: what it is and what it does. */
  readonly description: string;
  /** Why the default is what it is. */
  readonly reason: string;
  /** What happens when it is changed. */
  readonly applying: string;
}

export type ParameterDefinition =
  | (Common & { readonly type: 'boolean'; readonly default: boolean })
  | (Common & {
      readonly type: 'integer';
      readonly unit: Unit;
      readonly minimum: number;
      readonly maximum: number;
      readonly default: number;
    })
  | (Common & { readonly type: 'enum'; readonly allowed: readonly string[]; readonly default: string })
  | (Common & {
      readonly type: 'string';
      /** `authorities`: certificates of authorities, PEM. */
      readonly form: 'distinguished-name' | 'authorities';
      readonly maxLength: number;
      readonly default: string;
    })
  | (Common & {
      readonly type: 'list';
      readonly of: 'host' | 'cidr' | 'caller-rule';
      readonly maxItems: number;
      readonly default: readonly string[];
    });

// Writes the SQL of the rows, which is SQLite's, in PostgreSQL's words. The two differ in how parameters are named, in
// a few functions (schema/functions.ts has them under other names), and in that PostgreSQL wants to know the type of a
// parameter that is only compared with NULL.

interface Translated {
  readonly sql: string;
  /** For each parameter of `sql`: the value at this index, or whether the value at this index is NULL. */
  readonly parameters: readonly { readonly index: number; readonly isNull: boolean }[];
}

const FUNCTIONS = /\b(glob|ifnull|iif|instr|json_each|json_extract|json_group_array|json_object)\(/g;
const WORDS: readonly (readonly [RegExp, string])[] = [
  [FUNCTIONS, 'sqlite_$1('],
  [/\bchar\(10\)/g, 'chr(10)'],
  [/COLLATE BINARY\b/g, 'COLLATE "C"'],
  [/COLLATE NOCASE\b/g, 'COLLATE nocase'],
  [/LIMIT -1\b/g, 'LIMIT ALL'],
  [/\bjson_valid\(/g, 'sqlite_json_valid('],
];

/** A text in quotes, or a parameter with what follows it. */
const PARAMETER = /'(?:[^']|'')*'|\?(\d*)( IS NULL| IS NOT NULL)?/g;

export function translate(sqlite: string): Translated {
  const words = WORDS.reduce((sql, [pattern, by]) => sql.replaceAll(pattern, by), sqlite);
  const parameters: { index: number; isNull: boolean }[] = [];
  const known = new Map<string, number>();
  let last = 0;
  const numberOf = (index: number, isNull: boolean): number => {
    const key = `${index} ${isNull}`;
    let number = known.get(key);
    if (number === undefined) {
      parameters.push({ index, isNull });
      number = parameters.length;
      known.set(key, number);
    }
    return number;
  };
  const sql = words.replaceAll(PARAMETER, (found: string, digits: string | undefined, test: string | undefined) => {
    if (digits === undefined) return found;
    const place = digits === '' ? last + 1 : Number(digits);
    last = Math.max(last, place);
    if (test === undefined) return `$${numberOf(place - 1, false)}`;
    const isNull = `$${numberOf(place - 1, true)}::boolean`;
    return test === ' IS NULL' ? isNull : `NOT ${isNull}`;
  });
  return { sql, parameters };
}

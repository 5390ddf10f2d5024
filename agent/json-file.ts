// Reads the files that this agent keeps for itself, or that Central leaves for it on its own host: JSON of one schema.
import { readBoundedFile } from '../shared/files/bounded-file.ts';
import { textOf } from '../shared/errors.ts';
import { validate, type JsonSchema } from '../shared/wire/json-schema.ts';

interface JsonFile {
  readonly path: string;
  /** Begins the sentence of an error: "The identity". */
  readonly what: string;
  readonly maxBytes: number;
  /** What to do if the path names something else than a file. */
  readonly hint: string;
  readonly schema: JsonSchema;
  /** The error for a file that is not JSON, or JSON of another shape. */
  readonly damaged: (found: string, cause?: unknown) => Error;
}

/** A value that matches the schema; undefined if the file does not exist. Errors: `damaged`, file faults. */
export async function readJsonFile(file: JsonFile): Promise<unknown> {
  const { path, what, maxBytes, hint, schema, damaged } = file;
  const bytes = await readBoundedFile({ path, what, maxBytes, hint, ifMissing: 'ignore' });
  if (bytes === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw damaged(textOf(error), error);
  }
  const found = validate(schema, value);
  if (found !== undefined) throw damaged(found);
  return value;
}

// Owns the step from `unknown` to a type: a body or a query is checked against a TypeBox schema, all its faults in one error.
import { Compile } from 'typebox/compile';
import type { Static, TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { RequestFaults, type RequestFault } from './errors.ts';

/** A stranger does not get a list as long as what he sent. */
const MAX_FAULTS = 20;

/** Checks a JSON body. An absent one counts as an empty object. Errors: RequestFaults. */
export function bodyOf<S extends TSchema>(schema: S): (body: unknown) => Static<S> {
  const validator = Compile(schema);
  return (body) => {
    const value = body ?? {};
    if (!validator.Check(value)) throw new RequestFaults(faultsOf(validator.Errors(value), 'the body'));
    return value;
  };
}

/** Checks a query, whose values come as text; what is absent gets its default. Errors: RequestFaults. */
export function queryOf<S extends TSchema>(schema: S): (query: unknown) => Static<S> {
  const validator = Compile(schema);
  return (query) => {
    const value: unknown = Value.Convert(schema, Value.Default(schema, query));
    if (!validator.Check(value)) throw new RequestFaults(faultsOf(validator.Errors(value), 'the query'));
    return value;
  };
}

interface SchemaError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
}

function faultsOf(errors: readonly SchemaError[], whole: string): RequestFault[] {
  const faults: RequestFault[] = [];
  for (const { keyword, instancePath, message } of errors) {
    // TypeBox reports a member that is not allowed twice: at the member (a schema that is false) and at its object.
    if (keyword === 'additionalProperties') continue;
    const place = instancePath.slice(0, 128);
    faults.push({
      place,
      text: keyword === 'boolean' ? `${place} is not known here` : `${place === '' ? whole : place} ${message}`,
    });
    if (faults.length === MAX_FAULTS) break;
  }
  return faults;
}

import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { AppError } from './errors.ts';

/** A function that turns what came in into a value of its schema, or says what is wrong with it. */
export type Parser<T> = (value: unknown, what: string) => T;

/**
 * Compiles a schema into a parser. Unknown keys are kept and ignored: a newer peer may send more.
 * @returns a parser that throws AppError `invalid` naming the place and what was expected there
 */
export function parserOf<S extends TSchema>(schema: S): Parser<Static<S>> {
  const validator = Compile(schema);
  return (value, what) => {
    if (validator.Check(value)) return value as Static<S>;
    const [first] = validator.Errors(value);
    const place = first?.instancePath ? ` at ${first.instancePath}` : '';
    throw new AppError('invalid', `${what}${place}: ${first?.message ?? 'does not fit its schema'}`);
  };
}

/** Parses JSON text and then its schema, with one kind of error for both. */
export function parseJson<T>(text: string, parse: Parser<T>, what: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AppError('invalid', `${what}: not JSON`, { cause });
  }
  return parse(value, what);
}

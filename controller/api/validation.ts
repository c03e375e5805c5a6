import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { AppError } from '../../shared/errors.ts';
import { isRequirementField, refusalOf } from '../../shared/protocol/requirement-rules.ts';

const PARTS: Readonly<Record<string, string>> = { body: 'body', querystring: 'query', params: 'path' };

/**
 * Checks requests against their schemas. What stands in an address is text and is converted first; a body
 * says what it means and is not.
 */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = Compile(schema);
  return (input: unknown) => {
    const value = validator.Default(httpPart === 'body' ? input : validator.Convert(input));
    if (validator.Check(value)) return { value };
    const part = PARTS[httpPart ?? ''] ?? httpPart;
    return { error: new AppError('usage', `${part}: ${describeFaults(validator.Errors(value), value)}`) };
  };
};

interface Fault {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: object;
}

/** The deepest fault says most: those above it only say that none of several shapes fits. */
function describeFaults(faults: readonly Fault[], value: unknown): string {
  const depth = ({ instancePath }: Fault) => instancePath.split('/').length;
  // `false` stands where a key is not allowed; the fault above it names the key.
  const [first] = faults.filter(({ keyword }) => keyword !== 'boolean').sort((a, b) => depth(b) - depth(a));
  if (first === undefined) return 'does not fit its schema';
  const ofRequirement = faultOfRequirement(first, value);
  if (ofRequirement !== undefined) return ofRequirement;
  const place = first.instancePath === '' ? '' : `${first.instancePath.slice(1).replaceAll('/', '.')} `;
  return `${place}${first.message}${namesIn(first.params)}`;
}

/** A limit that cannot be is told in the words that every other edge uses, not in those of a schema. */
function faultOfRequirement({ instancePath }: Fault, body: unknown): string | undefined {
  const field = /^\/set\/(\w+)$/.exec(instancePath)?.[1] ?? '';
  const set = typeof body === 'object' && body !== null ? Reflect.get(body, 'set') : undefined;
  if (!isRequirementField(field) || typeof set !== 'object' || set === null) return undefined;
  return refusalOf(field, Reflect.get(set, field), `set.${field}`);
}

function namesIn(params: object): string {
  const extra = 'additionalProperties' in params ? params.additionalProperties : undefined;
  const allowed = 'allowedValues' in params ? params.allowedValues : undefined;
  const names = Array.isArray(extra) ? extra : Array.isArray(allowed) ? allowed : [];
  return names.length === 0 ? '' : `: ${names.join(', ')}`;
}

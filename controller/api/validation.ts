import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { AppError } from '../../shared/errors.ts';

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
    return { error: new AppError('usage', `${part}: ${describeFaults(validator.Errors(value))}`) };
  };
};

interface Fault {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: object;
}

/** The deepest fault says most: those above it only say that none of several shapes fits. */
function describeFaults(faults: readonly Fault[]): string {
  const depth = ({ instancePath }: Fault) => instancePath.split('/').length;
  // `false` stands where a key is not allowed; the fault above it names the key.
  const [first] = faults.filter(({ keyword }) => keyword !== 'boolean').sort((a, b) => depth(b) - depth(a));
  if (first === undefined) return 'does not fit its schema';
  const place = first.instancePath === '' ? '' : `${first.instancePath.slice(1).replaceAll('/', '.')} `;
  return `${place}${first.message}${namesIn(first.params)}`;
}

function namesIn(params: object): string {
  const extra = 'additionalProperties' in params ? params.additionalProperties : undefined;
  const allowed = 'allowedValues' in params ? params.allowedValues : undefined;
  const names = Array.isArray(extra) ? extra : Array.isArray(allowed) ? allowed : [];
  return names.length === 0 ? '' : `: ${names.join(', ')}`;
}

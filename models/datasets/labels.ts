import Type from 'typebox';
import { parseJson, parserOf } from '../../shared/schema.ts';

const LabelsSchema = Type.Array(Type.String({ minLength: 1, maxLength: 256 }), {
  minItems: 2,
  maxItems: 100_000,
});

/**
 * Reads class names: a JSON list, or one name a line.
 * @throws AppError `invalid` when there are not two names at least
 */
export function parseLabels(text: string, what: string): string[] {
  const parse = parserOf(LabelsSchema);
  if (text.trimStart().startsWith('[')) return parseJson(text, parse, what);
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  return parse(
    lines.filter((line) => line !== ''),
    what,
  );
}

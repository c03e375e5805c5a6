import { AppError } from './errors.ts';

export type Labels = Readonly<Record<string, string>>;

type Term =
  | { readonly op: 'in'; readonly key: string; readonly values: readonly string[] }
  | { readonly op: 'not-in'; readonly key: string; readonly values: readonly string[] }
  | { readonly op: 'exists' | 'not-exists'; readonly key: string };

/** A parsed label selector: all terms must hold. */
export interface Selector {
  readonly terms: readonly Term[];
}

const KEY = '[A-Za-z0-9][A-Za-z0-9._/-]{0,62}';
const VALUE = '[A-Za-z0-9][A-Za-z0-9._-]{0,62}';
const KEY_ONLY = new RegExp(`^${KEY}$`);
const VALUE_ONLY = new RegExp(`^${VALUE}$`);
const EXISTS = new RegExp(`^(!?)\\s*(${KEY})$`);
const EQUALS = new RegExp(`^(${KEY})\\s*(!=|==?)\\s*(${VALUE})$`);
const SET = new RegExp(`^(${KEY})\\s+(in|notin)\\s*\\(([^()]*)\\)$`);

/** Splits at commas that are not inside parentheses. */
function splitTerms(text: string): string[] {
  return text.split(/,(?![^(]*\))/).map((part) => part.trim());
}

function parseSet([, key = '', operator, list = '']: RegExpExecArray): Term | undefined {
  const values = list.split(',').map((value) => value.trim());
  if (!values.every((value) => VALUE_ONLY.test(value))) return undefined;
  return { op: operator === 'in' ? 'in' : 'not-in', key, values };
}

function parseEquals([, key = '', operator, value = '']: RegExpExecArray): Term {
  return { op: operator === '!=' ? 'not-in' : 'in', key, values: [value] };
}

function parseExists([, negation, key = '']: RegExpExecArray): Term {
  return { op: negation === '!' ? 'not-exists' : 'exists', key };
}

function parseTerm(text: string): Term | undefined {
  const set = SET.exec(text);
  if (set !== null) return parseSet(set);
  const equals = EQUALS.exec(text);
  if (equals !== null) return parseEquals(equals);
  const exists = EXISTS.exec(text);
  return exists === null ? undefined : parseExists(exists);
}

/**
 * Reads a label selector in Kubernetes' form: `site=lab,model in (orin-nano,xavier-nx),!retired`.
 * @throws AppError `usage` naming the term that is wrong
 */
export function parseSelector(text: string): Selector {
  const terms = splitTerms(text).map((part) => {
    const term = parseTerm(part);
    if (term !== undefined) return term;
    throw new AppError(
      'usage',
      `selector '${text}': '${part}' is not a term; write for example site=lab,model in (orin-nano,xavier-nx)`,
    );
  });
  return { terms };
}

function holds(term: Term, labels: Labels): boolean {
  const value = Object.hasOwn(labels, term.key) ? labels[term.key] : undefined;
  switch (term.op) {
    case 'in':
      return value !== undefined && term.values.includes(value);
    case 'not-in':
      return value === undefined || !term.values.includes(value);
    case 'exists':
      return value !== undefined;
    case 'not-exists':
      return value === undefined;
  }
}

/** Whether a device with these labels is selected. As in Kubernetes, `!=` and `notin` also select devices without the label. */
export function matches(selector: Selector, labels: Labels): boolean {
  return selector.terms.every((term) => holds(term, labels));
}

/** The same selector always as the same text, whatever its order and spaces were. */
export function formatSelector(selector: Selector): string {
  return selector.terms.map(formatTerm).sort().join(',');
}

function formatTerm(term: Term): string {
  switch (term.op) {
    case 'exists':
      return term.key;
    case 'not-exists':
      return `!${term.key}`;
    default: {
      const values = [...new Set(term.values)].sort();
      const [only] = values;
      if (values.length === 1) return `${term.key}${term.op === 'in' ? '=' : '!='}${only}`;
      return `${term.key} ${term.op === 'in' ? 'in' : 'notin'} (${values.join(',')})`;
    }
  }
}

/** Whether these may be a label's key and value. */
export function isLabel(key: string, value: string): boolean {
  return KEY_ONLY.test(key) && VALUE_ONLY.test(value);
}

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatSelector, isLabel, matches, parseSelector, type Selector } from '../../../shared/selector.ts';

const word = fc.stringMatching(/^[a-c0-2][a-c0-2._-]{0,2}$/);
const term = fc.oneof(
  fc.record({
    op: fc.constantFrom('in' as const, 'not-in' as const),
    key: word,
    values: fc.array(word, { minLength: 1, maxLength: 3 }),
  }),
  fc.record({ op: fc.constantFrom('exists' as const, 'not-exists' as const), key: word }),
);
const selector: fc.Arbitrary<Selector> = fc.record({ terms: fc.array(term, { minLength: 1, maxLength: 4 }) });
const labels = fc.dictionary(word, word, { maxKeys: 4 });

describe('a selector', () => {
  it.each([
    ['site=lab', { site: 'lab' }, true],
    ['site==lab', { site: 'home' }, false],
    ['site!=lab', { site: 'lab' }, false],
    ['site!=lab', {}, true],
    ['model in (nano, nx)', { model: 'nx' }, true],
    ['model in (nano,nx)', {}, false],
    ['model notin (nano,nx)', { model: 'nano' }, false],
    ['model notin (nano,nx)', {}, true],
    ['retired', { retired: 'no' }, true],
    ['!retired', { retired: 'no' }, false],
    ['site=lab,model in (nano,nx),!retired', { site: 'lab', model: 'nano' }, true],
    ['site=lab,model in (nano,nx),!retired', { site: 'lab', model: 'nano', retired: 'x' }, false],
    ['toString', {}, false],
  ])('%s over %j gives %s', (text, given, expected) => {
    expect(matches(parseSelector(text), given)).toBe(expected);
  });

  it.each([
    '',
    'site=',
    '=lab',
    'site=lab,',
    'model in ()',
    'model in nano',
    'a=b=c',
    'a b',
    'x in (a))',
    '!',
  ])('refuses %j and names the term', (text) => {
    expect(() => parseSelector(text)).toThrow(/is not a term/);
  });

  it('is written so that it reads back as one that selects the same devices', () => {
    fc.assert(
      fc.property(selector, labels, (given, device) => {
        const again = parseSelector(formatSelector(given));
        expect(matches(again, device)).toBe(matches(given, device));
      }),
    );
  });

  it('is written the same whatever the order of its terms and values', () => {
    const shuffled = selector.chain(({ terms }) =>
      fc.tuple(
        fc.constant(terms),
        fc.shuffledSubarray([...terms], { minLength: terms.length, maxLength: terms.length }),
      ),
    );
    fc.assert(
      fc.property(shuffled, ([terms, others]) => {
        const reversed = others.map((each) =>
          'values' in each ? { ...each, values: [...each.values].reverse() } : each,
        );
        const text = formatSelector({ terms });
        expect(formatSelector({ terms: reversed })).toBe(text);
        expect(formatSelector(parseSelector(text))).toBe(text);
      }),
    );
  });
});

describe('isLabel', () => {
  it('takes what a selector can name, and nothing else', () => {
    expect(isLabel('example.com/site', 'lab-1')).toBe(true);
    expect(isLabel('site', '')).toBe(false);
    expect(isLabel('site', 'a b')).toBe(false);
    expect(isLabel('-site', 'lab')).toBe(false);
    fc.assert(
      fc.property(word, word, (key, value) => {
        expect(isLabel(key, value)).toBe(true);
        expect(matches(parseSelector(`${key}=${value}`), { [key]: value })).toBe(true);
      }),
    );
  });
});

import { expect, test } from 'vitest';
import { patchFields, sameFields } from '../../../controller/desired/stated.ts';
import { selectorGroupName } from '../../../controller/registry/groups.ts';
import { membershipsOf } from '../../../controller/registry/membership.ts';
import { parseSelector } from '../../../shared/selector.ts';

const device = { id: 'jetson-1', labels: { site: 'lab' } };

function group(name: string, priority: number, rule: { selector?: string; members?: string[] }) {
  const selector = rule.selector === undefined ? undefined : parseSelector(rule.selector);
  return { name, priority, selector, members: new Set(rule.members) };
}

test('a device is in the groups that list it and in those whose selector fits, by priority, then name', () => {
  const groups = [
    group('b', 0, { members: ['jetson-1'] }),
    group('a', 0, { selector: 'site=lab' }),
    group('c', 9, { selector: 'site' }),
    group('d', 9, { members: ['jetson-2'] }),
    group('e', 9, { selector: '!site', members: ['jetson-1'] }),
  ];
  expect(membershipsOf(device, groups)).toEqual([
    { name: 'c', priority: 9 },
    { name: 'a', priority: 0 },
    { name: 'b', priority: 0 },
  ]);
});

test('a desired document never names more groups than its schema allows', () => {
  const groups = Array.from({ length: 100 }, (_, index) => group(`g${index}`, index, { selector: 'site' }));
  expect(membershipsOf(device, groups)).toHaveLength(64);
});

test('a selector has the same group however it is written', () => {
  expect(selectorGroupName('b=2, a=1')).toBe(selectorGroupName('a==1,b=2'));
  expect(selectorGroupName('a=1')).toMatch(/^sel-[0-9a-f]{10}$/);
});

test('a patch sets, clears and leaves', () => {
  expect(patchFields({ a: 1, b: 2, c: 3 }, { set: { a: 9 }, clear: ['b'] })).toEqual({ a: 9, c: 3 });
  expect(() => patchFields({ a: 1 }, {})).toThrow(/nothing to set/);
  expect(() => patchFields({ a: 1 }, { set: { a: 2 }, clear: ['a'] })).toThrow(/both set and cleared/);
});

test('fields are the same in whatever order they stand', () => {
  expect(sameFields({ a: 1, b: 2 }, { b: 2, a: 1 })).toBe(true);
  expect(sameFields({ a: 1 }, { a: 1, b: 2 })).toBe(false);
});

import { expect, test } from 'vitest';
import {
  AppError,
  describeError,
  exitCodeOf,
  httpStatusOf,
  invariant,
  isErrorCode,
  isSystemError,
  toError,
} from '../../../shared/errors.ts';

test.each([
  ['usage', 2, 400],
  ['config', 1, 500],
  ['invalid', 1, 400],
  ['not-found', 3, 404],
  ['conflict', 1, 409],
  ['timeout', 5, 504],
  ['partial', 6, 207],
  ['unreachable', 7, 503],
  ['unauthorized', 7, 401],
  ['system', 1, 500],
] as const)('%s ends a program with %i and a request with %i', (code, exitCode, httpStatus) => {
  expect(exitCodeOf(new AppError(code, 'x'))).toBe(exitCode);
  expect(httpStatusOf(code)).toBe(httpStatus);
  expect(isErrorCode(code)).toBe(true);
});

test('whatever else is thrown ends a program with 1', () => {
  expect([new Error('x'), 'text', undefined].map(exitCodeOf)).toEqual([1, 1, 1]);
});

test('only codes of the table are codes', () => {
  expect(['toString', 'nope', 4, null].map(isErrorCode)).toEqual([false, false, false, false]);
});

test('a description is one line, with the innermost cause where that says more', () => {
  const cause = new Error('connect ECONNREFUSED', { cause: new Error('socket closed\n  at somewhere') });
  expect(describeError(new AppError('unreachable', 'broker x does not answer', { cause }))).toBe(
    'broker x does not answer (connect ECONNREFUSED (socket closed))',
  );
  expect(describeError(new Error('a: b', { cause: new Error('b') }))).toBe('a: b');
  expect(describeError('text')).toBe('text');
});

test('whatever was thrown becomes an error that keeps it', () => {
  const error = new Error('x');
  expect(toError(error)).toBe(error);
  expect(toError(42)).toMatchObject({ message: '42', cause: 42 });
});

test('a broken invariant throws, and one that holds does not', () => {
  expect(() => invariant(1 + 1 === 2, 'sums')).not.toThrow();
  expect(() => invariant(false, 'sums')).toThrow('invariant broken: sums');
});

test('errors of the system are known by their code', () => {
  const error = Object.assign(new Error('x'), { code: 'ENOENT' });
  expect(isSystemError(error, 'ENOENT')).toBe(true);
  expect(isSystemError(error, 'EACCES')).toBe(false);
  expect(isSystemError({ code: 'ENOENT' }, 'ENOENT')).toBe(false);
});

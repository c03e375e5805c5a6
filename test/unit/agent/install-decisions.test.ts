import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type InstallFacts, nextStep } from '../../../agent/install/next-step.ts';
import {
  ended,
  endingOf,
  goalOf,
  holdingsAfter,
  isRetryDue,
  newRecord,
} from '../../../agent/install/records.ts';
import { type BootRows, bootDecision, MAX_DEATHS } from '../../../agent/store/boot-decision.ts';
import type { Installed, OrderRecord } from '../../../agent/store/install-journal.ts';
import { AppError } from '../../../shared/errors.ts';
import type { Order } from '../../../shared/protocol/release.ts';
import '../../support/properties.ts';

const hash = (letter: string): string => letter.repeat(64);
const RELEASE: Order['release'] = {
  ...{ name: 'cars', version: 2, manifest: { sha256: hash('e'), bytes: 1 } },
  signature: { keyId: '0'.repeat(16), value: `${'A'.repeat(86)}==` },
};
const ORDER: Order = { rollout: 'r', deed: 'install', release: RELEASE, soakMs: 10, stepTimeoutMs: 1_000 };
const OLD: Installed = { sha256: hash('a'), blobs: [] };
const NEW: Installed = {
  ...{ sha256: hash('b'), blobs: [] },
  release: { name: 'cars', version: 2, manifest: hash('e') },
};
const RECORD: OrderRecord = newRecord(ORDER, 1);

const FACTS: InstallFacts = {
  ...{ kind: 'family', deed: 'install', done: 'nothing', running: hash('a') },
  ...{ committed: hash('a'), soakLeftMs: 10, isProven: true },
};

const SERVES: Partial<InstallFacts> = { done: 'staged', target: hash('a') };

const STEPS: [what: string, change: Partial<InstallFacts>, step: ReturnType<typeof nextStep>][] = [
  ['begins with fetching', {}, 'fetching'],
  ['that goes back fetches nothing', { deed: 'revert' }, 'staging'],
  ['goes on with staging', { done: 'fetched' }, 'staging'],
  ['profiles a family', { done: 'staged', target: hash('b') }, 'profiling'],
  ['does not profile a program', { done: 'staged', target: hash('b'), kind: 'program' }, 'activating'],
  ['compares a family', { done: 'profiled', target: hash('b') }, 'comparing'],
  ['that goes back compares nothing', { done: 'profiled', target: hash('b'), deed: 'revert' }, 'activating'],
  ['is activated when it is compared', { done: 'compared', target: hash('b') }, 'activating'],
  ['soaks', { running: hash('b'), candidate: hash('b') }, 'soaking'],
  ['soaks until it is proven', { running: null, candidate: null, soakLeftMs: 0, isProven: false }, 'soaking'],
  ['is committed after that', { running: hash('b'), candidate: hash('b'), soakLeftMs: 0 }, 'committed'],
  ['is committed when it runs already', SERVES, 'committed'],
  ['is tried when it serves and is not committed', { ...SERVES, committed: hash('c') }, 'profiling'],
  ['to go back is done when it serves', { ...SERVES, committed: hash('c'), deed: 'revert' }, 'committed'],
  ['is lost when something else runs', { candidate: hash('b'), done: 'compared' }, 'lost'],
];

test.each(STEPS)('an order %s', (_, change, step) => {
  expect(nextStep({ ...FACTS, ...change })).toBe(step);
});

const installed = fc.constantFrom(OLD, NEW, { sha256: hash('c'), blobs: [] });
const rows: fc.Arbitrary<BootRows> = fc.record({
  holdings: fc.record(
    { committed: installed, before: installed, candidate: installed },
    { requiredKeys: [] },
  ),
  record: fc
    .option(
      fc.record({
        state: fc.constantFrom<OrderRecord['state'][]>('in-progress', 'failed', 'succeeded'),
        deaths: fc.integer({ min: 0, max: 5 }),
        onTrial: fc.boolean(),
      }),
      { nil: undefined },
    )
    .map((change) => (change === undefined ? undefined : { ...RECORD, ...change })),
});

test('a start serves what is committed, or the candidate of an order that is in progress', () => {
  fc.assert(
    fc.property(rows, ({ holdings, record }) => {
      const { serve, write, rolledBack } = bootDecision({ holdings, record }, 5);
      const { candidate, committed } = holdings;
      if (record?.state !== 'in-progress') expect([serve, write]).toEqual([committed, undefined]);
      else if (rolledBack === undefined) expect(serve).toEqual(candidate ?? committed);
      else {
        expect(serve).toEqual(committed);
        expect(write?.holdings).not.toHaveProperty('candidate');
        expect(write?.record).toMatchObject({ state: 'failed', onTrial: false, told: false });
      }
    }),
  );
});

test('however often the process dies, a start ends with what is committed after a bounded number of deaths', () => {
  fc.assert(
    fc.property(fc.boolean(), (isActivated) => {
      let now: BootRows = {
        holdings: isActivated ? { committed: OLD, candidate: NEW } : { committed: OLD },
        record: { ...RECORD, onTrial: true },
      };
      for (let starts = 0; starts <= MAX_DEATHS; starts += 1) {
        const { write } = bootDecision(now, 5);
        if (write === undefined) throw new Error('a death was not counted');
        now = { ...write, record: { ...write.record, onTrial: true } };
      }
      expect(now.record?.state).toBe('failed');
      expect(bootDecision(now, 5).serve).toEqual(OLD);
    }),
  );
});

test('a stop in good order is no death', () => {
  const { serve, write } = bootDecision(
    { holdings: { committed: OLD, candidate: NEW }, record: { ...RECORD, onTrial: false, deaths: 2 } },
    5,
  );
  expect(serve).toEqual(NEW);
  expect(write?.record).toMatchObject({ deaths: 2, onTrial: true });
});

test('to go back from a release leads to the one before it, else to the factory, else nowhere', () => {
  const revert: Order = { ...ORDER, deed: 'revert' };
  expect(goalOf(revert, { committed: NEW, before: OLD }, undefined)).toEqual(OLD);
  expect(goalOf(revert, { committed: NEW }, OLD)).toEqual(OLD);
  expect(goalOf(revert, { committed: OLD, before: NEW }, OLD)).toBe('nothing');
  expect(goalOf(ORDER, { committed: NEW }, OLD)).toBeUndefined();
});

test('the way back of what is committed is what was committed before it, and none after going back', () => {
  expect(holdingsAfter('install', NEW, { committed: OLD })).toEqual({ committed: NEW, before: OLD });
  expect(holdingsAfter('install', NEW, { committed: { ...NEW, blobs: [] }, before: OLD })).toEqual({
    ...{ committed: NEW, before: OLD },
  });
  expect(holdingsAfter('revert', OLD, { committed: NEW, before: OLD })).toEqual({ committed: OLD });
});

test('a full disk is tried again only when more is free, other failures never', () => {
  const cause = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
  const full = ended(RECORD, endingOf(new AppError('system', 'blob: cannot be written', { cause }), 1e6), 2);
  expect(full).toMatchObject({ state: 'failed', retry: { when: 'space', freeBytes: 1e6 } });
  expect(isRetryDue(full, { freeBytes: 1e6 + 1, keyring: undefined })).toBe(false);
  expect(isRetryDue(full, { freeBytes: 1e8, keyring: undefined })).toBe(true);
  const other = ended(RECORD, endingOf(new AppError('timeout', 'nothing came'), 1e6), 2);
  expect(other).toMatchObject({ state: 'failed', reason: 'nothing came' });
  expect(isRetryDue(other, { freeBytes: 1e9, keyring: undefined })).toBe(false);
});

import { expect, test } from 'vitest';
import { applyStatus, isContested } from '../../../controller/registry/presence.ts';
import type { Presence } from '../../../controller/store/device-store.ts';
import type { DeviceStatus } from '../../../shared/protocol/status.ts';

function after(...statuses: Partial<DeviceStatus>[]) {
  let presence: Presence | undefined;
  const conflicts: boolean[] = [];
  for (const [index, status] of statuses.entries()) {
    const full: DeviceStatus = { state: 'online', session: 's', bootId: 'aaaaaaaa', ts: index, ...status };
    const change = applyStatus(presence, full, index);
    presence = change.presence;
    conflicts.push(change.conflictBegins);
  }
  return { presence, conflicts };
}

test('the will of an older session is ignored', () => {
  const { presence } = after({ session: 'old' }, { session: 'new' }, { state: 'offline', session: 'old' });
  expect(presence?.online).toBe(true);
});

test('the will of the session itself makes the device offline', () => {
  const { presence } = after({ session: 'new' }, { state: 'offline', session: 'new' });
  expect(presence).toMatchObject({ online: false, sinceTs: 1 });
});

test('restarts are no conflict', () => {
  const { conflicts } = after({ bootId: 'aaaaaaaa' }, { bootId: 'bbbbbbbb' }, { bootId: 'cccccccc' });
  expect(conflicts).toEqual([false, false, false]);
});

test('a reconnection of the same boot is no conflict', () => {
  const { conflicts } = after({ session: 'a' }, { session: 'b' }, { session: 'c' });
  expect(conflicts).toEqual([false, false, false]);
});

test('a boot that comes back after another one is a conflict, which begins once', () => {
  const [a, b] = [{ bootId: 'aaaaaaaa' }, { bootId: 'bbbbbbbb' }];
  const { presence, conflicts } = after(a, b, a, b, a);
  expect(conflicts).toEqual([false, false, true, false, false]);
  expect(isContested(presence, 10)).toBe(true);
  expect(isContested(presence, 10 + 3_600_000)).toBe(false);
  // The clock was put back by far.
  expect(isContested(presence, -3_600_000)).toBe(false);
});

import { describe, test } from 'vitest';
import { KillFleet } from '../support/kill-fleet.ts';

const ROUNDS = 10;

describe.each(['agent', 'controller', 'broker'] as const)(
  'the %s, killed with -9 ten times under load',
  (victim) => {
    test('loses no window that was recorded, and stores none twice', async () => {
      await using fleet = await KillFleet.start();
      for (let round = 0; round < ROUNDS; round += 1) {
        await fleet.waitForTraffic();
        await fleet.killAndRestart(victim);
      }
      await fleet.expectExactlyOnce();
    }, 600_000);
  },
);

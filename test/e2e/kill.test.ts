import { describe, test } from 'vitest';
import { KillFleet } from '../support/kill-fleet.ts';

describe('a fleet whose programs are killed with -9 under load', () => {
  test('has every recorded window in the history exactly once', async () => {
    await using fleet = await KillFleet.start();
    for (const victim of ['agent', 'controller', 'broker'] as const) {
      await fleet.waitForTraffic();
      await fleet.killAndRestart(victim);
    }
    await fleet.expectExactlyOnce();
  }, 180_000);
});

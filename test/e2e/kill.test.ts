import { describe, expect, test } from 'vitest';
import { account } from '../chaos/account.ts';
import { KillFleet } from '../support/kill-fleet.ts';

describe('a fleet whose programs are killed with -9 under load', () => {
  test('has every recorded window in the history exactly once', async () => {
    await using fleet = await KillFleet.start({ agents: [{ device: 'one' }] });
    for (const victim of ['one', 'controller', 'broker']) {
      await fleet.waitForTraffic(5);
      await fleet.killAndRestart(victim);
    }
    await fleet.waitForTraffic(5);
    await fleet.stopAll();
    const { problems, ...figures } = account(fleet.controllerDir, fleet.agentDirs);
    expect(problems).toEqual([]);
    expect(figures).toMatchObject({ boots: 2, lost: 0, countedLost: 0 });
    expect(figures.storedWindows).toBe(figures.recordedWindows);
    expect(figures.storedEvents).toBe(figures.recordedEvents);
  }, 180_000);
});

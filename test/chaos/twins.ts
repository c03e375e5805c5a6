import { systemClock } from '../../shared/clock.ts';
import { type AgentPlan, KillFleet } from '../support/kill-fleet.ts';
import { startProxy } from './proxy.ts';
import { type Finding, findingOf, type Scenario, type Stage, unless } from './scenario.ts';
import { until } from './until.ts';

/** After the alarm, so long is watched who connects, and so often they may. */
const WATCH_MS = 20_000;
const MAX_CONNECTIONS = 6;

export const twinsScenario: Scenario = {
  summary: 'two devices with one identity: an alarm, no storm of connections, and both histories complete',
  run: twins,
};

async function twins({ did }: Stage): Promise<Finding> {
  await using proxy = await startProxy();
  const twin = (name: string): AgentPlan => ({ device: 'twin', name, brokerUrl: proxy.urlOf });
  const names = ['first', 'second'];
  await using fleet = await KillFleet.start({ agents: names.map(twin) });
  const alarms = async (): Promise<number> => {
    const text = JSON.stringify(await fleet.ask('/v1/events?kind=alarm'));
    return text.split('identity conflict').length - 1;
  };
  await until('an alarm of the two', async () => (await alarms()) > 0);
  const before = proxy.connections;
  did(`alarm after ${before} connections`);
  await systemClock.sleep(WATCH_MS);
  const during = proxy.connections - before;
  const raised = await alarms();
  // Who was kicked out waits for minutes: as the operator would, one is stopped, then the other.
  await Promise.all(names.map((name) => fleet.stop(name)));
  for (const name of names) {
    await fleet.start(name);
    await fleet.waitUntilSettled(name);
    await fleet.stop(name);
  }
  await fleet.stopAll([]);
  return findingOf(
    fleet,
    { alarms: raised, connectionsBefore: before, connectionsDuring: during, watchedMs: WATCH_MS },
    [
      ...unless(during <= MAX_CONNECTIONS, `${during} connections in ${WATCH_MS / 1_000} s: a storm`),
      ...unless(raised === 1, `${raised} alarms of one conflict`),
    ],
  );
}

import { systemClock } from '../../shared/clock.ts';
import { connectMqtt } from '../../shared/mqtt.ts';
import { KillFleet } from '../support/kill-fleet.ts';
import { type Finding, findingOf, type Scenario, type Stage, unless } from './scenario.ts';
import { until } from './until.ts';

const RESTARTS = 2;
const DEVICES = ['one', 'two'];

export const brokerScenario: Scenario = {
  summary: 'the broker comes back with nothing of what it had: retained messages are put there again',
  run: brokerLosesState,
};

async function brokerLosesState({ did }: Stage): Promise<Finding> {
  await using fleet = await KillFleet.start({ agents: DEVICES.map((device) => ({ device })) });
  await fleet.waitForTraffic();
  const before = await retainedTopics(fleet.mqttUrl);
  did(`${before.length} retained topics before`);
  const problems: string[] = [];
  for (let restart = 1; restart <= RESTARTS; restart += 1) {
    await fleet.killAndRestart('broker');
    let now: string[] = [];
    await until('what was retained to be there again', async () => {
      now = await retainedTopics(fleet.mqttUrl);
      return before.every((topic) => now.includes(topic));
    }).catch(() => undefined);
    const lacking = before.filter((topic) => !now.includes(topic));
    problems.push(
      ...unless(lacking.length === 0, `restart ${restart}: not retained again: ${lacking.join(' ')}`),
    );
    await fleet.waitForTraffic();
  }
  await fleet.stopAll();
  const ofBroker = { restarts: RESTARTS, retainedTopics: before.length };
  return findingOf(fleet, ofBroker, [...problems, ...unless(before.length >= 5, 'too little was retained')]);
}

const LISTEN_MS = 300;

/** Topics of this fleet that the broker holds a message of. */
async function retainedTopics(url: string): Promise<string[]> {
  const topics = new Set<string>();
  await using connection = await connectMqtt({
    url,
    clientId: 'chaos-looks',
    keepaliveS: 30,
    connectTimeoutMs: 5_000,
    publishTimeoutMs: 5_000,
    // Live messages come too, of topics that are never retained.
    onMessage: (topic) => topics.add(topic),
  });
  await connection.subscribe([
    'ofa/1/+/_ctl/status',
    'ofa/1/+/budget',
    'ofa/1/+/d/+/status',
    'ofa/1/+/d/+/reported',
    'ofa/1/+/d/+/desired',
  ]);
  await systemClock.sleep(LISTEN_MS);
  return [...topics].sort();
}

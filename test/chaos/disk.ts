import { join } from 'node:path';
import { systemClock } from '../../shared/clock.ts';
import { KillFleet } from '../support/kill-fleet.ts';
import { makeRoom } from './room.ts';
import { type Finding, findingOf, type Scenario, type Stage, unless } from './scenario.ts';
import { until } from './until.ts';

const FULL_MS = 3_000;

export const agentDiskScenario: Scenario = {
  summary: 'the disk of an agent is full for a while: what could not be kept is a counted gap',
  run: agentDisk,
};

export const controllerDiskScenario: Scenario = {
  summary: 'the disk of the controller is full for a while: agents keep their records until there is room',
  run: controllerDisk,
};

async function agentDisk({ did }: Stage): Promise<Finding> {
  await using room = await makeRoom();
  await using fleet = await KillFleet.start({
    agents: [{ device: 'one', dir: room.dir }, { device: 'two' }],
  });
  await fleet.waitForTraffic();
  const pid = fleet.pidOf('one');
  await room.fill(pid, join(room.dir, 'agent.db'));
  await until('the agent to say that nothing can be stored', () =>
    fleet.logOf('one').includes('cannot be stored'),
  );
  await systemClock.sleep(FULL_MS);
  did(`full by ${room.kind}, and free again`);
  await room.free(pid);
  await until('the agent to store again', () => fleet.logOf('one').includes('can be stored again'));
  await fleet.waitForTraffic();
  await fleet.stopAll();
  const { figures, problems } = findingOf(fleet, { room: room.kind });
  return {
    figures,
    problems: [...problems, ...unless(Number(figures['lost']) > 0, 'nothing was lost: it was not full')],
  };
}

async function controllerDisk({ did }: Stage): Promise<Finding> {
  await using room = await makeRoom();
  const agents = [{ device: 'one' }, { device: 'two' }];
  await using fleet = await KillFleet.start({ agents, controllerDir: room.dir });
  await fleet.waitForTraffic();
  const pid = fleet.pidOf('controller');
  const isStalled = async (): Promise<boolean> =>
    (await fleet.controllerState()).ingest.stalled !== undefined;
  await room.fill(pid, join(room.dir, 'history.db'));
  await until('the controller to say that nothing can be committed', isStalled);
  const { stalled = '' } = (await fleet.controllerState()).ingest;
  did(`full by ${room.kind}: ${stalled}`);
  await systemClock.sleep(FULL_MS);
  await room.free(pid);
  await until('the controller to commit again', async () => !(await isStalled()));
  await fleet.waitForTraffic();
  await fleet.stopAll();
  const { figures, problems } = findingOf(fleet, { room: room.kind, stalled });
  return { figures, problems: [...problems, ...unless(figures['lost'] === 0, 'records were lost')] };
}

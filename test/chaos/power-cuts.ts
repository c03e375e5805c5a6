import { backbonePath } from '../../models/bundled.ts';
import { systemClock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import type { Random } from '../../shared/random.ts';
import { RolloutFleet } from '../support/rollout-fleet.ts';
import { temporaryFolder } from '../support/temp.ts';
import { account } from './account.ts';
import { factoryFamily, nextFamily } from './power-cut-families.ts';
import { inspectCut, leftOvers, loseMarkers } from './power-cut-state.ts';
import { type Finding, type Scenario, type Stage, unless } from './scenario.ts';
import { until } from './until.ts';

/** Each installs families of its own, one after the other: two of them use two cores. */
const DEVICES = ['one', 'two'];
/** Of this scenario; the default of 100 gives 200. */
const KILLS_PER_KILL = 2;
/** One start in so many is met by a kill itself, within so long. */
const STARTS_MET = 5;
const START_MS = 1_000;
/** Longest time between a start and a kill; most are far shorter. */
const CALM_MS = 2_000;
/** Once in so many times it is longer by up to so much: an install gets to its last steps, and past them. */
const PEACE_EVERY = 7;
const PEACE_MS = 6_000;
/** One kill in so many is one of the controller. */
const CONTROLLER_KILLS = 12;
/** So slow that a family of two models takes most of a second. */
const TRANSFER_BYTES_PER_S = 4_000_000;
const TELL_EVERY = 40;
const SETTLED_RECORDS = 20;

export const powerCutsScenario: Scenario = {
  summary:
    'kill -9 of agents, and of the controller, while families are fetched and installed: never a mixed one',
  run: powerCuts,
};

/** All that the lanes of the devices have in common. */
interface World {
  readonly fleet: RolloutFleet;
  readonly folder: string;
  readonly stage: Stage;
  readonly wanted: number;
  readonly known: Set<string>;
  readonly problems: string[];
  readonly counts: Record<string, number>;
  /** Work that needs the controller, or kills it: one at a time. */
  readonly exclusive: <T>(work: () => Promise<T>) => Promise<T>;
  kills: number;
  version: number;
  tellAt: number;
}

async function powerCuts(stage: Stage): Promise<Finding> {
  await using folder = await temporaryFolder();
  const factory = await factoryFamily(folder.path);
  await using fleet = await RolloutFleet.start({
    devices: DEVICES,
    family: factory.folder,
    controllerArgs: ['--transfer-rate', String(TRANSFER_BYTES_PER_S)],
    agentArgs: ['--window', '250ms', '--frame-rate', '100', '--threads', '1'],
  });
  const world: World = {
    ...{ fleet, stage, folder: folder.path, wanted: stage.kills * KILLS_PER_KILL },
    ...{ known: new Set([factory.sha256]), problems: [], counts: {}, exclusive: createTurns() },
    ...{ kills: 0, version: 1, tellAt: TELL_EVERY },
  };
  const lanes = DEVICES.map((device) => cutAgainAndAgain(world, device));
  // One that fails must not have the fleet taken away from the others, which would fail of that.
  await Promise.allSettled(lanes);
  await Promise.all(lanes);
  const { problems, counts } = world;
  await fleet.stopAll();
  const folders = DEVICES.map((device) => ({ device, dir: fleet.stateDir(device) }));
  const { problems: ofAccount, ...accounted } = account(fleet.controllerDir, folders);
  return { figures: { kills: world.kills, ...counts, ...accounted }, problems: [...problems, ...ofAccount] };
}

/** One device: its power is cut while it installs one family after the other; the last one it may install in peace. */
async function cutAgainAndAgain(world: World, device: string): Promise<void> {
  const { fleet, counts } = world;
  // The controller has to know it before it can be a target; starts after one that ended well are quicker.
  await fleet.start(device);
  await fleet.untilConnected(device);
  await fleet.stop(device);
  await fleet.start(device);
  let turn = 0;
  let rollout = await rollOut(world, device, turn);
  while (world.kills < world.wanted) {
    await cutOnce(world, device);
    const { place, problems } = await inspectCut(fleet.stateDir(device), world.known);
    count(counts, `cut: ${place}`);
    world.problems.push(...problems.map((problem) => `${device}, cut ${world.kills}: ${problem}`));
    tell(world);
    await maybeKillController(world);
    await startAgain(world, device);
    const ended = await endOf(world, rollout);
    if (ended === undefined) continue;
    count(counts, `rollouts: ${ended}`);
    turn += 1;
    rollout = await rollOut(world, device, turn);
  }
  await fleet.untilRollout(rollout, 'to be over', ({ done }) => done);
  await endInPeace(world, device, turn + 1);
}

function tell(world: World): void {
  if (world.kills < world.tellAt) return;
  world.stage.did(`${world.kills} kills`);
  world.tellAt += TELL_EVERY;
}

/** What a last rollout that nobody disturbs has to leave. */
async function endInPeace(world: World, device: string, turn: number): Promise<void> {
  const { fleet, problems } = world;
  const rollout = await rollOut(world, device, turn);
  const { state, devices } = await fleet.untilRollout(rollout, 'to be over', ({ done }) => done);
  const [last] = devices;
  problems.push(
    ...unless(
      state === 'completed' && last?.state === 'SUCCEEDED',
      `${rollout}, undisturbed: ${state}, ${last?.state}, ${last?.reason}`,
    ),
  );
  await stopSettled(fleet, device);
  // Lean models of a family that was dropped go with the next start.
  await fleet.start(device);
  await stopSettled(fleet, device);
  const left = await leftOvers(fleet.stateDir(device));
  problems.push(...unless(left.length === 0, `${device} keeps what nothing needs: ${left.join(', ')}`));
}

/** Stops an agent when what it recorded can arrive. */
async function stopSettled(fleet: RolloutFleet, device: string): Promise<void> {
  await fleet.untilConnected(device);
  await until(`${device} to have told nearly all`, async () => {
    return (await fleet.status(device)).telemetry.pending <= SETTLED_RECORDS;
  });
  await fleet.stop(device);
}

/** Publishes the next family, and starts to roll it out to a device. @returns the rollout's name */
async function rollOut(world: World, device: string, turn: number): Promise<string> {
  const { fleet, folder, known } = world;
  world.version += 1;
  const { version } = world;
  const { family, form } = await nextFamily(folder, version, turn);
  known.add(family.sha256);
  const rollout = `${device}-${version}`;
  const how = form === 'full' ? [] : ['--form', form, '--backbone', backbonePath('fashion-mnist')];
  await world.exclusive(async () => {
    await fleet.run('family', 'publish', family.folder, ...how);
    const { name } = family.manifest;
    const soak = `${world.stage.random.below(500)}ms`;
    const release = `${name}@${version}`;
    await fleet.run('rollout', 'start', release, '--device', device, '--soak', soak, '--name', rollout);
  });
  return rollout;
}

/** How a rollout of one device ended; undefined while it goes on, or the controller cannot be asked. */
async function endOf({ fleet, exclusive }: World, rollout: string): Promise<string | undefined> {
  const { done, devices } = await exclusive(() => fleet.rollout(rollout));
  return done ? (devices[0]?.state ?? 'without a device') : undefined;
}

/** Lets an agent run for a while and kills it; sometimes one that was just started already. */
async function cutOnce(world: World, device: string): Promise<void> {
  const { fleet, stage, counts } = world;
  const { random } = stage;
  world.kills += 1;
  await systemClock.sleep(calmMs(random));
  await fleet.kill9(device);
  await loseMarkers(fleet.stateDir(device));
  count(counts, 'kills: agent');
  if (random.below(STARTS_MET) > 0 || world.kills >= world.wanted) return;
  world.kills += 1;
  await fleet.startAndKill(device, systemClock.sleep(random.below(START_MS)));
  await loseMarkers(fleet.stateDir(device));
  count(counts, 'kills: while starting');
}

function calmMs(random: Random): number {
  const peaceMs = random.below(PEACE_EVERY) === 0 ? random.below(PEACE_MS) : 0;
  return CALM_MS * (random.below(1_000) / 1_000) ** 3 + peaceMs;
}

async function maybeKillController(world: World): Promise<void> {
  const { fleet, stage, counts, exclusive } = world;
  if (stage.random.below(CONTROLLER_KILLS) > 0 || world.kills >= world.wanted) return;
  world.kills += 1;
  count(counts, 'kills: controller');
  await exclusive(async () => {
    await fleet.killController();
    await fleet.startController();
  });
}

/** Whatever was cut, it starts, and serves a family that there is. */
async function startAgain({ fleet, known, problems, kills }: World, device: string): Promise<void> {
  try {
    await fleet.start(device);
    const { sha256 } = (await fleet.status(device)).family;
    problems.push(...unless(known.has(sha256), `${device} after cut ${kills}: it serves ${sha256}`));
  } catch (error) {
    problems.push(`${device} after cut ${kills}: ${describeError(error)}`);
    throw error;
  }
}

function createTurns(): World['exclusive'] {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work);
    last = mine.catch(() => undefined);
    return mine;
  };
}

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

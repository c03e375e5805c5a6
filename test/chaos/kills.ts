import { systemClock } from '../../shared/clock.ts';
import { pick, type Random } from '../../shared/random.ts';
import { KillFleet } from '../support/kill-fleet.ts';
import { delayMs, type Finding, findingOf, type Scenario, type Stage } from './scenario.ts';

const AGENTS = ['one', 'two', 'three'];
/** As often as they stand here. A killed broker costs time: links come back ever more slowly. */
const VICTIMS = [...AGENTS, ...AGENTS, ...AGENTS, 'controller', 'controller', 'controller', 'broker'];
/** Between two rounds of kills; sometimes a start is what is met, sometimes a link that is not up yet. */
const CALM_MS = 1_000;
const MOST_AT_ONCE = 4;
/** One start in so many is met by a kill itself. */
const STARTS_MET = 3;
const SETTLE_EVERY = 40;

export const killsScenario: Scenario = {
  summary: 'kill -9 of agents, controller and broker at random moments, several at once',
  run: kills,
};

async function kills({ random, kills: wanted, did }: Stage): Promise<Finding> {
  await using fleet = await KillFleet.start({ agents: AGENTS.map((device) => ({ device })) });
  const counts: Record<string, number> = { agent: 0, controller: 0, broker: 0, 'while starting': 0 };
  let done = 0;
  let calmAt = SETTLE_EVERY;
  while (done < wanted) {
    await systemClock.sleep(delayMs(random, CALM_MS));
    const victims = victimsOf(random, wanted - done);
    await Promise.all(victims.map((name) => fleet.kill9(name)));
    for (const name of victims) count(counts, AGENTS.includes(name) ? 'agent' : name);
    done += victims.length;
    done += await restart(fleet, victims, { random, counts, isLast: done >= wanted });
    if (done >= calmAt) {
      did(`${done} kills`);
      calmAt += SETTLE_EVERY;
      await fleet.waitForTraffic(1);
    }
  }
  await fleet.waitForTraffic();
  await fleet.stopAll();
  const all = Object.fromEntries(Object.entries(counts).map(([part, times]) => [`kills: ${part}`, times]));
  return findingOf(fleet, { kills: done, ...all });
}

/** One part or several, no part twice. */
function victimsOf(random: Random, most: number): string[] {
  const count = Math.min(1 + random.below(MOST_AT_ONCE), most);
  const victims = new Set<string>();
  while (victims.size < count) victims.add(pick(random, VICTIMS));
  return [...victims];
}

interface Restart {
  readonly random: Random;
  readonly counts: Record<string, number>;
  readonly isLast: boolean;
}

/** Starts the parts again; sometimes a kill meets one that is starting. @returns how many were met */
async function restart(
  fleet: KillFleet,
  names: readonly string[],
  { random, counts, isLast }: Restart,
): Promise<number> {
  const [unlucky] = names;
  const isMet = !isLast && unlucky !== undefined && random.below(STARTS_MET) === 0;
  const metAfterMs = delayMs(random, 1_000);
  await Promise.all(
    names.map(async (name) => {
      if (isMet && name === unlucky) await fleet.startAndKill(name, systemClock.sleep(metAfterMs));
      await fleet.start(name);
    }),
  );
  if (isMet) count(counts, 'while starting');
  return isMet ? 1 : 0;
}

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

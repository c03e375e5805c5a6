import { join } from 'node:path';
import { type Figure, judged } from './report.ts';
import { BUNDLED, bulkyFamily } from './rollout-families.ts';
import { startBenchFleet } from './rollout-fleet.ts';

const FLEETS = [1, 10, 50] as const;
/** Agents begin to connect over so long, after the rollout has begun. */
const JOIN_S = 60;
const EGRESS_BAR = 1.5;

interface Egress {
  readonly devices: number;
  /** What the controller sends to the broker. */
  readonly controllerBytes: number;
  /** What the broker sends to the agents. */
  readonly agentBytes: number;
}

/** What a family of full models costs the controller's line: for one device, and for fifty that join over a minute. */
export async function egressFigures(): Promise<Figure[]> {
  const measured: Egress[] = [];
  for (const devices of FLEETS) measured.push(await measure(devices));
  const bytesOf = (devices: number): number =>
    measured.find((each) => each.devices === devices)?.controllerBytes ?? Number.NaN;
  return [
    ...measured.flatMap(({ devices, controllerBytes, agentBytes }) => [
      bytes(`egress_${devices}_bytes`, controllerBytes),
      bytes(`broker_to_agents_${devices}_bytes`, agentBytes),
    ]),
    judged({
      name: 'egress_50_over_1',
      value: bytesOf(50) / bytesOf(1),
      unit: '1',
      better: 'lower',
      bar: EGRESS_BAR,
    }),
  ];
}

function bytes(name: string, value: number): Figure {
  return { name, value, unit: 'B', better: 'lower' };
}

async function measure(devices: number): Promise<Egress> {
  await using fleet = await startBenchFleet();
  const { controllerLine, agentLine } = fleet;
  const family = join(fleet.dir, 'factory');
  await bulkyFamily(family, 1, 1_000);
  await fleet.run('family', 'publish', BUNDLED);
  // The controller hears of them before: a rollout is for devices that are known.
  const known = await fleet.startSwarm({ devices, family });
  await fleet.untilDevices(devices, true);
  await known.stop();
  await fleet.untilDevices(devices, false);
  const { id } = await fleet.begin('fashion-mnist');
  const before = { to: controllerLine.bytes.toBroker, from: agentLine.bytes.fromBroker };
  await fleet.startSwarm({ devices, family, joinS: JOIN_S });
  await fleet.untilCompleted(id);
  return {
    devices,
    controllerBytes: controllerLine.bytes.toBroker - before.to,
    agentBytes: agentLine.bytes.fromBroker - before.from,
  };
}

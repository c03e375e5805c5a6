import { Command, Option } from 'commander';
import { AppError } from '../../shared/errors.ts';
import { parseQuantity } from '../../shared/units.ts';

export interface DemoOptions {
  readonly devices: number;
  /** Ends by itself after this long; undefined until Ctrl-C. */
  readonly forMs: number | undefined;
  /** Folder that is kept; undefined for a temporary one. */
  readonly stateDir: string | undefined;
  readonly json: boolean;
  /** One device on a calm machine, under contention, and on a calm one again, instead of a fleet. */
  readonly contention: boolean;
  readonly apiPort: string;
  readonly mqttPort: string;
}

const MAX_DEVICES = 64;

function devicesOf(text: string): number {
  const devices = Number(text);
  if (Number.isInteger(devices) && devices >= 1 && devices <= MAX_DEVICES) return devices;
  throw new AppError('usage', `--devices: '${text}' is not a number of devices from 1 to ${MAX_DEVICES}`);
}

function portOf(text: string, flag: string): string {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return text;
  throw new AppError('usage', `${flag}: '${text}' is not a port from 0 to 65535`);
}

/** The options as they are typed. */
interface Given {
  readonly devices: string;
  readonly for?: string;
  readonly state?: string;
  readonly contention?: boolean;
  readonly apiPort: string;
  readonly mqttPort: string;
  readonly output: string;
}

/** The demonstration's command; `action` gets its options, checked. */
export function demoCommand(action: (options: DemoOptions) => Promise<void>): Command {
  return new Command('ofa-fleet-demo')
    .description('Runs a fleet on this machine: a controller, and agents that classify real images.')
    .addOption(new Option('--devices <n>', 'number of agents').default('3'))
    .addOption(
      new Option('--for <duration>', 'end after this long, for example 20s; without it until Ctrl-C'),
    )
    .addOption(
      new Option(
        '--contention',
        'show one device while load on the CPU begins and ends; takes 30s, or --for',
      ),
    )
    .addOption(new Option('--state <dir>', 'folder to keep; without it a temporary one that is removed'))
    .addOption(new Option('--api-port <port>', 'port of the HTTP API; 0 takes a free one').default('0'))
    .addOption(new Option('--mqtt-port <port>', 'port of the broker; 0 takes a free one').default('0'))
    .addOption(
      new Option('-o, --output <format>', 'summary at the end').choices(['table', 'json']).default('table'),
    )
    .action((given: Given) =>
      action({
        devices: devicesOf(given.devices),
        forMs: given.for === undefined ? undefined : parseQuantity(given.for, 'duration', '--for'),
        stateDir: given.state,
        json: given.output === 'json',
        contention: given.contention === true,
        apiPort: portOf(given.apiPort, '--api-port'),
        mqttPort: portOf(given.mqttPort, '--mqtt-port'),
      }),
    );
}

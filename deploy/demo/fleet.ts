import { execFile } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import Type from 'typebox';
import { AppError } from '../../shared/errors.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import { keyFolder } from '../../shared/user-folder.ts';
import { type DemoApi, openApi } from './api.ts';
import type { DemoOptions } from './options.ts';
import { type RunningProgram, startProgram } from './processes.ts';

/** Frames per second of every device of the demonstration. */
export const DEMO_FRAME_RATE = 20;
/** Latency budget of every device, until somebody sets another one. */
export const DEMO_LATENCY = '5ms';
const DEMO_WINDOW = '1s';
/** Devices begin this many frames apart, so that they do not classify the same images in step. */
const FRAME_SPACING = 997;

export interface Controller {
  readonly api: DemoApi;
  readonly apiUrl: string;
  readonly mqttUrl: string;
  readonly tokenFile: string;
  readonly program: RunningProgram;
}

/** An agent that is started again whenever it ends without having been told to. */
export interface DemoAgent {
  readonly device: string;
  readonly stateDir: string;
  stop(): Promise<void>;
}

/** The module of a program, with the ending that this one has: `.ts` from sources, `.js` built. */
function entryOf(program: 'agent' | 'controller'): URL {
  return new URL(`../../${program}/main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);
}

const ReadySchema = Type.Object({ apiUrl: Type.String(), mqttUrl: Type.String() });

/** Starts the controller with its embedded broker, and opens its API. */
export async function startController(stateDir: string, options: DemoOptions): Promise<Controller> {
  const tokenFile = join(stateDir, 'token');
  const program = await startProgram({
    module: entryOf('controller'),
    logFile: join(stateDir, 'controller.log'),
    args: [
      'serve',
      ...['--state', join(stateDir, 'controller'), '--token-file', tokenFile],
      ...['--api-port', options.apiPort, '--broker-port', options.mqttPort],
    ],
  });
  const { apiUrl, mqttUrl } = parserOf(ReadySchema)(program.ready, 'the controller');
  const token = (await readFile(tokenFile, 'utf8')).trim();
  return { api: openApi(apiUrl, token), apiUrl, mqttUrl, tokenFile, program };
}

/** Starts agent number `index` and keeps it running. */
export async function startAgent(stateDir: string, index: number, mqttUrl: string): Promise<DemoAgent> {
  const device = `demo-${index + 1}`;
  const own = join(stateDir, device);
  await mkdir(own, { recursive: true });
  const start = () =>
    startProgram({
      module: entryOf('agent'),
      logFile: join(stateDir, `${device}.log`),
      args: [
        'run',
        ...['--device', device, '--state', own, '--broker-url', mqttUrl],
        // Devices that share one machine's cores would measure each other while they choose.
        ...['--window', DEMO_WINDOW, '--latency', DEMO_LATENCY, '--threads', '1'],
        // Whoever makes keys on this machine may publish for this fleet.
        ...['--trust-root', join(keyFolder(process.env), 'root.pub')],
        ...['--frame-rate', String(DEMO_FRAME_RATE), '--frame-offset', String(index * FRAME_SPACING)],
      ],
    });
  let stopping = false;
  let program = await start();
  const keepRunning = async (): Promise<void> => {
    while (!stopping) {
      await program.ended;
      if (!stopping) program = await start();
    }
  };
  const kept = keepRunning();
  return {
    device,
    stateDir: own,
    stop: async () => {
      stopping = true;
      await program.stop();
      await kept;
    },
  };
}

const StatusSchema = Type.Object({ telemetry: Type.Object({ windows: Type.Number() }) });

/** How many windows an agent has recorded since its state folder was made, by its own account; 0 before there is one. */
export async function windowsRecorded(stateDir: string): Promise<number> {
  const args = [fileURLToPath(entryOf('agent')), 'status', '--state', stateDir, '-o', 'json'];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, args);
    return parseJson(stdout, parserOf(StatusSchema), 'ofa-agent status').telemetry.windows;
  } catch (error) {
    const NOT_FOUND = 3;
    if (error instanceof Error && 'code' in error && error.code === NOT_FOUND) return 0;
    throw new AppError('system', `${stateDir}: the agent's own account cannot be read`, { cause: error });
  }
}

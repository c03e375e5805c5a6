import { join } from 'node:path';
import { systemClock } from '../shared/clock.ts';
import { AppError } from '../shared/errors.ts';
import { makeStateFolder } from '../shared/files.ts';
import type { Logger } from '../shared/log.ts';
import { openPowerMeter } from '../shared/power/open.ts';
import type { AgentConfig } from './config.ts';
import type { FrameSource } from './frames/source.ts';
import { machineOf } from './machine.ts';
import type { RecordedDevice } from './record/command.ts';
import { bringIntoService } from './serving.ts';
import { openAgentDatabase } from './store/database.ts';
import { openInstallJournal, pauseTrial } from './store/install-journal.ts';

/** Images in a row that cannot be read, after which the source is taken for broken. */
const MAX_UNREADABLE = 10;

/**
 * Brings a device into service for a recording: everything that an agent has but the loop and the link, with
 * every level loaded.
 * @throws AppError `conflict` while the agent of the state folder runs, and as `bringIntoService`
 */
export async function openRecordedDevice(
  config: AgentConfig,
  { log, onFatal }: { readonly log: Logger; readonly onFatal: (error: AppError) => void },
): Promise<RecordedDevice> {
  await using stack = new AsyncDisposableStack();
  makeStateFolder(config.state.dir, 0o750);
  const database = stack.adopt(openAgentDatabase(config.state.dir), (open) => {
    open.close();
  });
  const { root } = config.sensors;
  const { engine, profile, frames } = await bringIntoService(
    {
      config: { ...config, engine: { ...config.engine, memoryBytes: null } },
      database,
      clock: systemClock,
      onFatal,
      log,
      machine: machineOf(root),
      meter: await openPowerMeter(join(root, 'sys')),
    },
    stack,
  );
  // A recording is no life of the agent: a family that soaks goes on with the agent's next one.
  stack.defer(() => pauseTrial(openInstallJournal(database), 'family'));
  const parts = stack.move();
  return {
    engine,
    profile,
    nextFrame: () => nextPixels(frames),
    clock: systemClock,
    periodMs: 1_000 / config.frames.rate,
    deadlineMs: config.requirement.latencyMs ?? undefined,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

async function nextPixels(frames: FrameSource): Promise<Uint8Array> {
  for (let unreadable = 1; ; unreadable += 1) {
    try {
      return (await frames.next()).pixels;
    } catch (error) {
      if (!(error instanceof AppError) || unreadable >= MAX_UNREADABLE) throw error;
    }
  }
}

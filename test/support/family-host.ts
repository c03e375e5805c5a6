import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AgentConfig, loadAgentConfig } from '../../agent/config.ts';
import { openInForce } from '../../agent/desired/in-force.ts';
import type { Quarantine } from '../../agent/quarantine/quarantine.ts';
import type { FrameAnswered } from '../../agent/runtime/loop.ts';
import { createFamilyHost, type ServiceHost } from '../../agent/service/family-host.ts';
import { operateWith } from '../../agent/service/operate.ts';
import { bringIntoService } from '../../agent/serving.ts';
import { metaOf } from '../../agent/store/database.ts';
import { openTelemetry } from '../../agent/telemetry/telemetry.ts';
import { createWindowLoop } from '../../agent/telemetry/window-loop.ts';
import { writeFamily } from '../../models/family/write.ts';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { type Family, modelPath } from '../../shared/family/read.ts';
import { readWhole } from '../../shared/files.ts';
import type { EventBody } from '../../shared/protocol/event.ts';
import type { WindowBody } from '../../shared/protocol/window.ts';
import { keptLog, type StateFolder, stateFolder } from './agent.ts';
import { bundledFamily } from './bundled.ts';
import { NO_READING } from './operation.ts';

/** Images of a source whose first pixels hold their number. */
const IMAGES = 1_000;
const SIDE = 28;

/** Writes images that say which one they are, in their first two pixels. */
export async function writeNumberedImages(path: string): Promise<void> {
  const header = Buffer.from([0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, SIDE, 0, 0, 0, SIDE]);
  header.writeUInt32BE(IMAGES, 4);
  const pixels = Buffer.alloc(IMAGES * SIDE * SIDE);
  for (let index = 0; index < IMAGES; index += 1) pixels.writeUInt16BE(index, index * SIDE * SIDE);
  await writeFile(path, Buffer.concat([header, pixels]));
}

/** The bundled family with some of its levels, in a folder of its own. */
export async function familyOfLevels(
  folder: string,
  levels: readonly number[],
  change: { readonly version?: number; readonly labels?: readonly string[] } = {},
): Promise<Family> {
  const bundled = await bundledFamily();
  const { format: _, levels: all, ...head } = bundled.manifest;
  const files = await Promise.all(
    levels.map(async (index) => {
      const level = all[index];
      if (level === undefined) throw new Error(`the bundled family has no level ${index}`);
      const { model: blob, recipe: _recipe, ...rest } = level;
      return { level: rest, model: await readWhole(modelPath(bundled.folder, level), blob.bytes) };
    }),
  );
  const labels = change.labels === undefined ? {} : { labels: [...change.labels] };
  return await writeFamily(folder, { ...head, ...labels, version: change.version ?? 1 }, files);
}

/** A frame that was answered. */
export interface Answer {
  readonly family: string;
  readonly number: number;
  readonly level: number;
  readonly atMs: number;
  readonly latencyMs: number;
}

export interface HostedDevice extends AsyncDisposable {
  readonly state: StateFolder;
  readonly host: ServiceHost;
  readonly quarantine: Quarantine;
  readonly windows: readonly WindowBody[];
  readonly events: readonly EventBody[];
  readonly answers: readonly Answer[];
  /** Frames that were shed or not answered, in words. */
  readonly lost: readonly string[];
  /** Frames that were skipped, because the device was busy for longer than a period. */
  readonly skipped: readonly number[];
}

export interface HostedOptions {
  readonly family: string;
  readonly state?: StateFolder;
  readonly flags?: Readonly<Record<string, string>>;
  readonly clock?: Clock;
}

function configOf(stateDir: string, { family, flags }: HostedOptions): AgentConfig {
  const own = { fleet: 'lab', device: 'jetson-1', 'state.dir': stateDir, 'family.dir': family };
  const rest = { 'frames.rate': '50Hz', 'engine.threads': '1', ...flags };
  return loadAgentConfig({ env: {}, flags: { ...own, ...rest } }).values;
}

/** A device that answers numbered frames 50 times a second, with everything but the link. */
export async function hostedDevice(options: HostedOptions): Promise<HostedDevice> {
  const { clock = systemClock } = options;
  await using stack = new AsyncDisposableStack();
  const state = options.state ?? stack.use(await stateFolder());
  const images = join(state.path, 'images');
  await writeNumberedImages(images);
  const base = configOf(state.path, options);
  const config = { ...base, frames: { ...base.frames, source: `idx:${images}` } };
  const database = state.open();
  const windows: WindowBody[] = [];
  const events: EventBody[] = [];
  const answers: Answer[] = [];
  const lost: string[] = [];
  const skipped: number[] = [];
  const onFatal = (error: Error): void => {
    lost.push(`the engine can serve no more: ${error.message}`);
  };
  const resources = stack.use(new AsyncDisposableStack());
  const profiling = { rounds: 4, threadRounds: 3, periodMs: 1 };
  const { log } = keptLog();
  const first = await bringIntoService({ config, database, clock, onFatal, profiling, log }, resources);
  const opened = openTelemetry({
    database,
    bootId: randomUUID(),
    clock,
    log,
    maxBytes: 1e8,
    maxAgeMs: 1e12,
    sensorPeriodMs: 1_000,
    rssBytes: () => 1,
  });
  const recorder = {
    ...opened.recorder,
    window: (body: WindowBody) => {
      windows.push(body);
      opened.recorder.window(body);
    },
    event: (body: EventBody) => {
      events.push(body);
      opened.recorder.event(body);
    },
  };
  const telemetry: typeof opened = {
    ...opened,
    recorder,
    listen: (knowledge) => {
      const told = opened.listen(knowledge);
      return {
        ...told,
        shed: (shed) => {
          lost.push('shed');
          told.shed(shed);
        },
        skipped: (frames) => {
          skipped.push(frames);
          told.skipped(frames);
        },
        failed: (reason) => void lost.push(reason),
      };
    },
  };
  const settings = { windowMs: 300, frameRate: config.frames.rate, logLevel: 'info' } as const;
  const inForce = openInForce(database, { requirement: {}, settings }, () => undefined);
  const windowLoop = createWindowLoop({
    ...telemetry,
    clock,
    windowMs: () => settings.windowMs,
    end: () => ({ family: host.serving().sha256, slowdown: 1, price: 0, requirement: {} }),
  });
  const operate = operateWith({
    deps: {
      config,
      logging: { log, ring: { newest: () => [] } },
      clock,
      random: () => 0.1,
      newId: () => 'x',
      onFatal,
    },
    inForce,
    telemetry,
    metrics: undefined,
    meta: metaOf(database),
    onChanged: () => undefined,
  });
  const host = stack.use(
    createFamilyHost({
      first,
      resources,
      ways: first.ways,
      operate: (serving, { signal, onAnswered }) =>
        operate(serving, {
          signal,
          onAnswered: (answered) => {
            answers.push(answerOf(answered, serving.family.sha256));
            onAnswered(answered);
          },
        }),
      sensors: { sample: async () => ({ ...NO_READING, atMs: clock.monoMs() }) },
      clock,
      log,
      onLeaving: windowLoop.familyLeaves,
      onActivated: () => undefined,
    }),
  );
  const stop = new AbortController();
  const running = [windowLoop.run, host.frames, host.sensing].map((loop) => loop(stop.signal));
  stack.defer(async () => {
    stop.abort();
    await Promise.all([...running, host.settle()]);
  });
  const parts = stack.move();
  return {
    state,
    host,
    quarantine: first.ways.quarantine,
    windows,
    events,
    answers,
    lost,
    skipped,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

function answerOf({ pixels, point, nowMs, latencyMs }: FrameAnswered, family: string): Answer {
  const number = Buffer.from(pixels.subarray(0, 2)).readUInt16BE(0);
  return { family, number, level: point.level, atMs: nowMs, latencyMs };
}

/** Numbers of frames that do not follow on the one before. */
export function gapsIn(answers: readonly Answer[]): string[] {
  return answers.flatMap(({ number }, index) => {
    const before = answers[index - 1]?.number;
    if (before === undefined || number === (before + 1) % IMAGES) return [];
    return [`${number} after ${before}`];
  });
}

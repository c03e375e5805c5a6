import type { Clock } from '../../shared/clock.ts';
import { invariant } from '../../shared/errors.ts';
import type { Precision } from '../../shared/family/manifest.ts';
import { onnxRuntimeVersion } from '../../shared/onnx.ts';
import type { ProcessingElement } from '../../shared/protocol/window.ts';
import { parserOf } from '../../shared/schema.ts';
import { type Journal, stepKey } from '../journal.ts';
import type { InputForm } from '../ofa/graph/input.ts';
import { QUANTISER_VERSION } from '../ofa/quantise/int8-model.ts';
import type { SearchSpace } from '../ofa/space.ts';
import { borderModel, bordersOf, callModel, layerModel, type MapShape } from './layer-model.ts';
import { type ProbeModel, TIMED_RUNS, timeModels, undisturbedTime } from './probe.ts';
import { RandomLayers } from './random-layers.ts';
import {
  type LatencyTable,
  type LatencyTableFile,
  LatencyTableFileSchema,
  type LayerTime,
  latencyTableFile,
} from './table.ts';
import { type TableLayer, tableLayers } from './table-layers.ts';

export interface BuildOptions {
  readonly space: SearchSpace;
  readonly resolutions: readonly number[];
  /** What the table calls the device. */
  readonly device: string;
  readonly processingElement: ProcessingElement;
  /** Intra-op threads. */
  readonly threads: number;
  /** What networks take; what is done to the image is counted as part of the first layer. */
  readonly form: InputForm;
  readonly precision: Precision;
  /** Turns of each layer. */
  readonly rounds: number;
  readonly seed: number;
  readonly clock: Clock;
  readonly journal?: Pick<Journal, 'step'>;
  /** Called after each turn of a layer, and after each resolution. */
  readonly onProgress?: (done: number, total: number, text: string) => void;
  readonly signal?: AbortSignal;
}

/** The layers that one resolution adds to those before it, and what must be timed to take its borders off. */
interface Chunk {
  readonly resolution: number;
  readonly layers: readonly TableLayer[];
  readonly borders: ReadonlyMap<string, MapShape>;
}

/**
 * Measures a latency table of this device: every layer that networks of the space can have, with random
 * weights. Layers of one resolution take turns and are held in memory together; a layer that several
 * resolutions have is measured once. What a call takes is counted once in a network, as part of the first
 * layer. Each `mean` is that of the fastest tenth of the runs (see `undisturbedTime`), as if nothing else
 * ran on the device. With a journal each resolution is kept when it is done.
 * @throws AppError `invalid` for a resolution that the space does not have, `system` for a processing element
 * that ONNX Runtime does not have here; the signal's reason, within one run
 */
export async function buildTable(options: BuildOptions): Promise<LatencyTable> {
  const perResolution = tableLayers(options.space, options.resolutions);
  const chunks = chunksOf(options.space, perResolution);
  const total = chunks.reduce((turns, chunk) => turns + turnsOf(chunk, options), 0);
  const times = new Map<string, LayerTime>();
  let done = 0;
  for (const chunk of chunks) {
    options.signal?.throwIfAborted();
    const text = `resolution ${chunk.resolution}`;
    let turns = 0;
    const measured = await measuredOnce(chunk, options, () => {
      turns += 1;
      options.onProgress?.(done + turns, total, text);
    });
    done += turnsOf(chunk, options);
    options.onProgress?.(done, total, text);
    for (const [key, time] of Object.entries(measured.resolutions[chunk.resolution] ?? {})) {
      times.set(key, time);
    }
  }
  return {
    device: options.device,
    source: sourceOf(options),
    resolutions: new Map(
      [...perResolution].map(([resolution, layers]) => [resolution, timesOf(layers, times)]),
    ),
  };
}

function chunksOf(space: SearchSpace, perResolution: ReturnType<typeof tableLayers>): Chunk[] {
  const seen = new Set<string>();
  return [...perResolution].map(([resolution, all]) => {
    const layers = all.filter(({ key }) => !seen.has(key));
    for (const { key } of layers) seen.add(key);
    const borders = layers.flatMap(({ shape }) => bordersOf(space, shape));
    return { resolution, layers, borders: new Map(borders.map((map) => [borderName(map), map])) };
  });
}

function borderName({ side, channels }: MapShape): string {
  return `border ${side}x${side}x${channels}`;
}

function turnsOf({ layers, borders }: Chunk, { rounds }: BuildOptions): number {
  return rounds * (layers.length + borders.size + 1);
}

async function measuredOnce(
  chunk: Chunk,
  options: BuildOptions,
  onTurn: () => void,
): Promise<LatencyTableFile> {
  const { resolution } = chunk;
  const compute = async (): Promise<LatencyTableFile> => {
    const layers = await measureChunk(chunk, options, onTurn);
    return latencyTableFile({ device: options.device, resolutions: new Map([[resolution, layers]]) });
  };
  const { journal } = options;
  if (journal === undefined) return await compute();
  return await journal.step(keyOf(chunk, options), parserOf(LatencyTableFileSchema), compute);
}

/** A step is found again only where exactly the same is to be measured. */
function keyOf({ resolution, layers }: Chunk, options: BuildOptions): string {
  const { device, processingElement, threads, form, precision, rounds, seed } = options;
  const versions = [onnxRuntimeVersion(), QUANTISER_VERSION];
  const how = { device, processingElement, threads, form, precision, rounds, seed, versions };
  const keys = layers.map(({ key }) => key);
  return stepKey(`latency of layers at ${resolution}`, how, keys);
}

const CALL = 'call';

async function measureChunk(
  { layers, borders }: Chunk,
  options: BuildOptions,
  onTurn: () => void,
): Promise<Map<string, LayerTime>> {
  const { space, form, precision, seed } = options;
  const source = { space, form, precision, random: new RandomLayers(space, seed) };
  const models = new Map<string, () => ProbeModel>([
    ...layers.map(({ key, shape }) => [key, () => layerModel(source, shape)] as const),
    ...[...borders].map(([name, map]) => [name, () => borderModel(source, map)] as const),
    [CALL, callModel],
  ]);
  const timesMs = await timeModels([...models.values()], { ...options, onTurn });
  const names = [...models.keys()];
  const timeOf = new Map(timesMs.map((ofModel, index) => [names[index], undisturbedTime(ofModel)]));
  const msOf = (name: string): number => timeOf.get(name)?.mean ?? 0;
  return new Map(
    layers.map((layer) => {
      const mean = Math.max(0, msOf(layer.key) - aroundMs(space, layer, msOf));
      return [layer.key, { ...timeOf.get(layer.key), mean }];
    }),
  );
}

/**
 * What a layer's model takes beside the layer. The first layer keeps the call, which a network makes once. A
 * border is half of the two small layers that stand at one map, whichever of them it is: in the sum of a
 * network's layers each map is left once and entered once, and what is wrong with the one makes up for the
 * other.
 */
function aroundMs(space: SearchSpace, { shape }: TableLayer, msOf: (name: string) => number): number {
  const callMs = msOf(CALL);
  const bordersMs = bordersOf(space, shape).map((map) => (msOf(borderName(map)) - callMs) / 2);
  return bordersMs.reduce((sum, ms) => sum + ms, shape.kind === 'stem' ? 0 : callMs);
}

function timesOf(
  layers: readonly TableLayer[],
  times: ReadonlyMap<string, LayerTime>,
): Map<string, LayerTime> {
  return new Map(
    layers.map(({ key }) => {
      const time = times.get(key);
      invariant(time !== undefined, `${key} was measured`);
      return [key, time];
    }),
  );
}

function sourceOf({ processingElement, threads, form, precision, rounds }: BuildOptions): string {
  const image = form.type === 'float32' ? 'float32' : `uint8 ${form.frame.join('x')}`;
  return (
    `measured with ONNX Runtime ${onnxRuntimeVersion()}: ${processingElement}, threads ${threads}, ` +
    `${precision}, image ${image}; mean of the fastest tenth of ${rounds * TIMED_RUNS} runs`
  );
}

import { join } from 'node:path';
import type { PointSpec } from '../../agent/engine/protocol.ts';
import { backbonePath } from '../../models/bundled.ts';
import { readCheckpoint } from '../../models/checkpoint/read.ts';
import { type Backbone, backboneOf } from '../../models/ofa/backbone.ts';
import { type Family, modelPath, readFamily } from '../../shared/family/read.ts';
import { readMaybeGzip } from '../../shared/images/gzip.ts';
import { parseIdxImages, parseIdxLabels } from '../../shared/images/idx.ts';
import { packageRoot } from '../../shared/package.ts';

const DATA = join(packageRoot(), 'models', 'data', 'fashion-mnist');

/** The bundled family's test images and labels. */
export const BUNDLED_IMAGES = join(DATA, 't10k-images-idx3-ubyte.gz');
export const BUNDLED_LABELS = join(DATA, 't10k-labels-idx1-ubyte.gz');

/** The family that comes with the package. */
export async function bundledFamily(): Promise<Family> {
  return await readFamily(join(packageRoot(), 'models', 'families', 'fashion-mnist'));
}

/** Every level of a family on the CPU. */
export function cpuPoints({ manifest, folder }: Family): PointSpec[] {
  return manifest.levels.map((level, index) => ({
    pe: 'cpu',
    level: index,
    modelPath: modelPath(folder, level),
    threads: 1,
    providers: ['cpu'],
  }));
}

/** The first `count` of the bundled test images, with their labels. */
export async function bundledImages(count: number): Promise<{ pixels: Uint8Array; label: number }[]> {
  const images = parseIdxImages(await readMaybeGzip(BUNDLED_IMAGES), BUNDLED_IMAGES);
  const labels = parseIdxLabels(await readMaybeGzip(BUNDLED_LABELS), BUNDLED_LABELS);
  const bytes = images.pixels.length / images.count;
  return Array.from(labels.subarray(0, count), (label, index) => ({
    pixels: images.pixels.subarray(index * bytes, (index + 1) * bytes),
    label,
  }));
}

/** The backbone that comes with the package. */
export async function bundledBackbone(): Promise<Backbone> {
  const path = backbonePath('fashion-mnist');
  return backboneOf(await readCheckpoint(path), { what: path });
}

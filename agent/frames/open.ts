import { AppError } from '../../shared/errors.ts';
import { openFolderSource } from './folder.ts';
import { openIdxSource } from './idx.ts';
import type { FrameShape, FrameSource } from './source.ts';

const IDX_PREFIX = 'idx:';

export interface FrameFormat {
  readonly shape: FrameShape;
  /** The family's labels. */
  readonly labels: readonly string[];
  /** The image to begin with, default 0. */
  readonly offset?: number;
}

/**
 * Opens a frame source by its name: `idx:IMAGES[,LABELS]` for IDX files, anything else is a folder of images.
 * @throws AppError as the source that is chosen does, `config` when the name is incomplete
 */
export async function openFrameSource(
  spec: string,
  { labels, ...format }: FrameFormat,
): Promise<FrameSource> {
  if (!spec.startsWith(IDX_PREFIX)) return await openFolderSource({ folder: spec, labels, ...format });
  const [imagesPath = '', labelsPath, ...rest] = spec.slice(IDX_PREFIX.length).split(',');
  if (imagesPath === '' || labelsPath === '' || rest.length > 0) {
    throw new AppError('config', `frame source "${spec}": expected idx:IMAGES or idx:IMAGES,LABELS`);
  }
  return await openIdxSource({
    imagesPath,
    ...(labelsPath === undefined ? {} : { labelsPath }),
    classes: labels.length,
    ...format,
  });
}

import type { Command } from 'commander';
import { parseCount, parseDurationMs } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import type { ReleaseFacts } from '../../shared/release/build.ts';
import type { HardwareFit } from '../../shared/release/manifest.ts';
import { parseQuantity } from '../../shared/units.ts';

/** What the publisher of a release says of it, in words. */
export interface ReleaseOptions {
  readonly key?: string;
  readonly version?: string;
  readonly expires: string;
  readonly minAgent?: string;
  readonly arch?: string;
  readonly board?: readonly string[];
  readonly minMemory?: string;
}

/** Adds the options that every release has. */
export function addReleaseOptions(command: Command): Command {
  return command
    .option('--key <name>', "the publisher's key that signs it (default: the only one there is)")
    .option('--expires <duration>', 'for how long it may be installed', '365d')
    .option('--min-agent <x.y.z>', 'oldest version of the agent that takes it')
    .option('--arch <names>', 'only machines of these, with commas between them: arm64, x64')
    .option('--board <text>', 'only boards with this in their name; may be given more than once', collect)
    .option('--min-memory <size>', 'only machines with at least so much memory: 4GiB');
}

function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/**
 * What options say of a release.
 * @param now milliseconds since the epoch
 * @throws AppError `usage`
 */
export function parseReleaseOptions(
  options: ReleaseOptions,
  now: number,
): Pick<ReleaseFacts, 'createdTs' | 'expiresTs' | 'minAgent' | 'hardware'> {
  const { expires, minAgent } = options;
  const hardware = parseHardware(options);
  return {
    createdTs: now,
    expiresTs: now + Math.round(parseDurationMs(expires, '--expires')),
    ...(minAgent !== undefined && { minAgent: parseVersion(minAgent, '--min-agent') }),
    ...(Object.keys(hardware).length > 0 && { hardware }),
  };
}

function parseHardware({ arch, board, minMemory }: ReleaseOptions): HardwareFit {
  return {
    ...(arch !== undefined && { arch: parseWords(arch, '--arch') }),
    ...(board !== undefined && { models: [...board] }),
    ...(minMemory !== undefined && { minMemoryBytes: parseQuantity(minMemory, 'size', '--min-memory') }),
  };
}

function parseWords(text: string, what: string): string[] {
  const words = text.split(',').map((word) => word.trim());
  if (words.every((word) => word !== '')) return words;
  throw new AppError('usage', `${what}: '${text}' has an empty word; write for example arm64,x64`);
}

/** A version of the agent, `x.y.z`. */
function parseVersion(text: string, what: string): string {
  if (/^\d{1,6}\.\d{1,6}\.\d{1,6}$/.test(text)) return text;
  throw new AppError('usage', `${what}: '${text}' is not a version; write for example 0.2.0`);
}

/** The version of a release. */
export function parseReleaseVersion(text: string, what = 'VERSION'): number {
  return parseCount(text, what);
}

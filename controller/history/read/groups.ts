import { groupKey, mergedFrom } from '../rollup/groups.ts';
import type { Source } from './source.ts';

/**
 * The roll-ups of a group, and from when on they are what these devices did. Undefined when the question is
 * about no group, or the roll-ups are of other members.
 */
export function mergedGroupOf(
  source: Source,
  question: { readonly group?: string | undefined; readonly devices: readonly string[] | undefined },
): { readonly series: number; readonly fromTs: number } | undefined {
  const { group, devices } = question;
  if (group === undefined || devices === undefined) return undefined;
  const fromTs = mergedFrom(source.meta(groupKey(group)), devices);
  const series = source.seriesOf('group', group);
  return fromTs === undefined || series === undefined ? undefined : { series, fromTs };
}

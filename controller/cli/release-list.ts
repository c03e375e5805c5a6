import type { Command } from 'commander';
import { type Column, formatAge, formatTime } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { AppError } from '../../shared/errors.ts';
import type { ReleaseKind } from '../../shared/protocol/release.ts';
import { formatDurationMs } from '../../shared/units.ts';
import type { ReleaseSummary } from '../api/release-schemas.ts';
import type { Cli } from './context.ts';
import { addExamples } from './options.ts';
import { connectReleases } from './release-api.ts';
import { parseReleaseVersion } from './release-options.ts';
import { formatBytes } from './status.ts';
import { parseId } from './values.ts';

/** A table of releases. */
export function releaseColumns(now: number): Column<ReleaseSummary>[] {
  return [
    { head: 'NAME', value: (row) => row.name },
    { head: 'VERSION', value: (row) => row.version, align: 'right' },
    { head: 'FORM', value: (row) => row.form },
    { head: 'BLOBS', value: (row) => row.blobs, align: 'right' },
    { head: 'SIZE', value: (row) => row.bytes, text: (row) => formatBytes(row.bytes), align: 'right' },
    {
      head: 'PUBLISHED',
      value: (row) => formatTime(row.publishedTs),
      text: (row) => formatAge(row.publishedTs, now),
    },
    { head: 'EXPIRES', value: (row) => formatTime(row.expiresTs), text: (row) => expiryText(row, now) },
    { head: 'KEY', value: (row) => row.keyId },
    { head: 'STATE', value: (row) => releaseState(row, now) },
  ];
}

/** When a release may be installed no more, for people. */
export function expiryText({ expiresTs }: Pick<ReleaseSummary, 'expiresTs'>, now: number): string {
  return expiresTs <= now ? formatAge(expiresTs, now) : `in ${formatDurationMs(expiresTs - now)}`;
}

/** Whether a release can be rolled out. */
export function releaseState(
  { damaged, expiresTs, untrusted }: Pick<ReleaseSummary, 'damaged' | 'expiresTs' | 'untrusted'>,
  now: number,
): 'ok' | 'damaged' | 'untrusted' | 'expired' {
  if (damaged.length > 0) return 'damaged';
  if (untrusted !== undefined) return 'untrusted';
  return expiresTs <= now ? 'expired' : 'ok';
}

/** Adds `list` to the commands of a kind. */
export function addReleaseList(parent: Command, kind: ReleaseKind, cli: Cli): void {
  const list = parent
    .command('list')
    .description('List what was published, oldest version first.')
    .argument('[name]', 'only this one')
    .action(async (name: string | undefined, { output }: OutputOptions) => {
      const query = { kind, ...(name !== undefined && { name: parseId(name, 'NAME') }) };
      const rows = await (await connectReleases(cli)).releases(query);
      cli.print({ rows, columns: releaseColumns(cli.clock.now()), json: { releases: rows } }, output);
      if (rows.length === 0) cli.note(`no ${kind} is published`);
    });
  addExamples(addOutput(list), `${kind} list`, `${kind} list -o json`);
}

/** Adds `delete` to the commands of a kind. */
export function addReleaseDelete(parent: Command, kind: ReleaseKind, cli: Cli): void {
  const remove = parent
    .command('delete')
    .description('Delete a version, with what no other one needs; its number is not given again.')
    .argument('<name>')
    .argument('<version>')
    .option('--yes', 'do it')
    .action(async (name: string, version: string, { yes }: { readonly yes?: true }) => {
      const [id, number] = [parseId(name, 'NAME'), parseReleaseVersion(version)];
      if (yes !== true) {
        throw new AppError('usage', `this deletes ${kind} ${id} ${number} for good; say --yes to do it`);
      }
      await (await connectReleases(cli)).deleteRelease(kind, id, number);
      cli.note(`${kind} ${id} ${number} is deleted`);
    });
  addExamples(remove, `${kind} delete ${kind === 'family' ? 'fashion-mnist' : 'ofa-agent'} 1 --yes`);
}

import type { Command } from 'commander';
import { type Column, formatAge, formatMs, formatPercent, formatTime } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import type { Level, Manifest } from '../../shared/family/manifest.ts';
import type { HardwareFit } from '../../shared/release/manifest.ts';
import type { ReleaseDetail } from '../api/release-schemas.ts';
import type { Cli } from './context.ts';
import { familyDifference, type LevelChange, type PublishedFamily } from './family-difference.ts';
import { addExamples } from './options.ts';
import { connectReleases, type ReleaseApi } from './release-api.ts';
import { expiryText, releaseState } from './release-list.ts';
import { parseReleaseVersion } from './release-options.ts';
import { formatBytes, PROPERTY_COLUMNS, type Property } from './status.ts';
import { parseId } from './values.ts';

/** Adds `family show`. */
export function addFamilyShow(family: Command, cli: Cli): void {
  const show = family
    .command('show')
    .description('Show a published family: who signed it, for which machines, and its levels.')
    .argument('<name>')
    .argument('[version]', 'default: the newest')
    .action(async (name: string, version: string | undefined, { output }: OutputOptions) => {
      const api = await connectReleases(cli);
      const number = version === undefined ? undefined : parseReleaseVersion(version);
      const { release, family: manifest } = await readPublished(api, parseId(name, 'NAME'), number);
      const rows = [...releaseRows(release, cli.clock.now()), ...manifest.levels.map(levelRow)];
      cli.print({ rows, columns: PROPERTY_COLUMNS, json: jsonOf(release, manifest) }, output);
    });
  addExamples(addOutput(show), 'family show fashion-mnist', 'family show fashion-mnist 2 -o json');
}

async function readPublished(
  api: ReleaseApi,
  name: string,
  version: number | undefined,
): Promise<PublishedFamily & { readonly release: ReleaseDetail }> {
  const release = await api.release('family', name, version);
  return { release, family: await api.familyOf(release) };
}

/** Without the hashes of chunks, which are for programs that fetch them. */
function jsonOf({ manifest, ...release }: ReleaseDetail, family: Manifest): object {
  const blobs = manifest.blobs.map(({ role, sha256, bytes }) => ({ role, sha256, bytes }));
  return { ...release, manifest: { ...manifest, blobs }, family };
}

function releaseRows({ ref, manifest, publishedTs, damaged }: ReleaseDetail, now: number): Property[] {
  const { form, minAgent, hardware = {}, backbone, blobs, createdTs, expiresTs } = manifest;
  const bytes = blobs.reduce((sum, blob) => sum + blob.bytes, 0);
  return [
    { name: 'name', value: ref.name },
    { name: 'version', value: ref.version },
    { name: 'state', value: releaseState({ damaged, expiresTs }, now) },
    { name: 'form', value: form },
    { name: 'size', value: bytes, text: `${formatBytes(bytes)} in ${blobs.length} blobs` },
    { name: 'signed', value: formatTime(createdTs), text: formatAge(createdTs, now) },
    { name: 'signed by key', value: ref.signature.keyId },
    { name: 'published', value: formatTime(publishedTs), text: formatAge(publishedTs, now) },
    { name: 'expires', value: formatTime(expiresTs), text: expiryText({ expiresTs }, now) },
    { name: 'agent', value: minAgent ?? '', text: minAgent === undefined ? 'any' : `${minAgent} or newer` },
    { name: 'hardware', value: hardwareText(hardware) },
    ...(backbone === undefined ? [] : [{ name: 'backbone', value: backbone.sha256 }]),
    { name: 'manifest', value: ref.manifest.sha256 },
    ...damaged.map((sha256) => ({ name: 'missing blob', value: sha256 })),
  ];
}

function hardwareText({ arch, models, minMemoryBytes }: HardwareFit): string {
  const parts = [
    ...(arch === undefined ? [] : [arch.join(' or ')]),
    ...(models === undefined ? [] : [models.join(' or ')]),
    ...(minMemoryBytes === undefined ? [] : [`at least ${formatBytes(minMemoryBytes)} of memory`]),
  ];
  return parts.length === 0 ? 'any' : parts.join(', ');
}

function levelRow({ accuracy, precision = 'fp32', latencyMs, macs, model }: Level, index: number): Property {
  const parts = [
    `accuracy ${formatPercent(accuracy)}`,
    precision,
    ...(latencyMs === undefined ? [] : [`${formatMs(latencyMs)} where it was built`]),
    `${Number((macs / 1e6).toPrecision(3))} million MACs`,
    formatBytes(model.bytes),
  ];
  return { name: `level ${index}`, value: accuracy, text: parts.join(', ') };
}

/** Adds `family diff`. */
export function addFamilyDiff(family: Command, cli: Cli): void {
  const diff = family
    .command('diff')
    .description('Show what differs between two versions, and what a device with the first would fetch.')
    .argument('<name>')
    .argument('<from>')
    .argument('<to>')
    .action(async (name: string, from: string, to: string, { output }: OutputOptions) => {
      const id = parseId(name, 'NAME');
      const [before, after] = [parseReleaseVersion(from, 'FROM'), parseReleaseVersion(to, 'TO')];
      const api = await connectReleases(cli);
      const difference = familyDifference(
        await readPublished(api, id, before),
        await readPublished(api, id, after),
      );
      const { levels, fetch } = difference;
      const json = { name: id, from: before, to: after, ...difference };
      cli.print({ rows: levels, columns: CHANGE_COLUMNS, json }, output);
      cli.note(
        `a device with version ${before} fetches ${formatBytes(fetch.bytes)} in ${fetch.blobs} blobs for version ${after}`,
      );
    });
  addExamples(addOutput(diff), 'family diff fashion-mnist 2 3');
}

const CHANGE_COLUMNS: readonly Column<LevelChange>[] = [
  { head: 'CHANGE', value: (row) => row.change },
  { head: 'FROM', value: (row) => row.from, align: 'right' },
  { head: 'TO', value: (row) => row.to, align: 'right' },
  { head: 'PRECISION', value: (row) => row.precision },
  {
    head: 'ACCURACY-FROM',
    value: (row) => row.accuracyFrom,
    text: (row) => formatPercent(row.accuracyFrom),
    align: 'right',
  },
  {
    head: 'ACCURACY-TO',
    value: (row) => row.accuracyTo,
    text: (row) => formatPercent(row.accuracyTo),
    align: 'right',
  },
  { head: 'SIZE', value: (row) => row.bytes, text: (row) => formatBytes(row.bytes), align: 'right' },
];

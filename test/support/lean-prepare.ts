/** A program that makes lean models of the bundled family in the folder given to it, to be killed at it. */
import { prepareLean } from '../../agent/engine/lean.ts';
import { systemClock } from '../../shared/clock.ts';
import { bundledFamily, cpuPoints } from './bundled.ts';

const family = await bundledFamily();
await prepareLean({
  models: cpuPoints(family).map(({ modelPath }, level) => ({
    modelPath,
    sha256: family.manifest.levels[level]?.model.sha256 ?? '',
  })),
  folder: process.argv[2] ?? '',
  timeoutMs: 60_000,
  clock: systemClock,
});

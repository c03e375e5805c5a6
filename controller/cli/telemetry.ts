import type { Command } from 'commander';
import type { Cli } from './context.ts';
import { addExport } from './telemetry-export.ts';
import { addGaps } from './telemetry-gaps.ts';
import { addQuery } from './telemetry-query.ts';
import { addTail } from './telemetry-tail.ts';

/** Adds `telemetry` and its commands. */
export function addTelemetry(program: Command, cli: Cli): void {
  const telemetry = program.command('telemetry').description('The history of what devices measured.');
  addQuery(telemetry, cli);
  addTail(telemetry, cli);
  addGaps(telemetry, cli);
  addExport(telemetry, cli);
}

/**
 * The machine's monotonic clock, milliseconds since its boot: unlike that of `performance.now()`, its origin
 * is the same in every process, so that a script's absolute times mean the same in all of them.
 */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

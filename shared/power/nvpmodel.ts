/** A Jetson's power mode. */
export interface PowerMode {
  readonly id: number | undefined;
  readonly name: string | undefined;
}

/** What `nvpmodel -q` prints: a line with the name, and the number alone on a line. */
export function parsePowerModeQuery(text: string): PowerMode {
  const id = /^\s*(\d{1,4})\s*$/m.exec(text)?.[1];
  return {
    id: id === undefined ? undefined : Number(id),
    name: /^NV Power Mode:\s*(\S.*?)\s*$/m.exec(text)?.[1],
  };
}

/** Number of the mode in the file in which nvpmodel keeps it over restarts: `pmode:0002 fmode:quiet`. */
export function parsePowerModeStatus(text: string): number | undefined {
  const id = /\bpmode:(\d{1,4})\b/.exec(text)?.[1];
  return id === undefined ? undefined : Number(id);
}

/** Name of mode `id` in nvpmodel's configuration: `< POWER_MODEL ID=2 NAME=MODE_15W_6CORE >`. */
export function powerModeName(config: string, id: number): string | undefined {
  for (const [, number, name] of config.matchAll(
    /^\s*<\s*POWER_MODEL\s+ID=(\d{1,4})\s+NAME=([^\s>]+)\s*>/gm,
  )) {
    if (Number(number) === id) return name;
  }
  return undefined;
}

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { arch, availableParallelism, cpus, loadavg, platform, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { onnxRuntimeVersion } from '../../shared/onnx.ts';

/** The machine that figures were taken on: they hold for it, in this power mode, with this library. */
export interface HostFacts {
  readonly cpuModel: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** `linux-x64`. */
  readonly platform: string;
  readonly node: string;
  readonly onnxRuntime: string;
  /** Over 1, 5 and 15 minutes, before anything was measured: a busy machine measures itself. */
  readonly loadAverage: readonly number[];
  /** Name of the board, where there is a device tree. */
  readonly board?: string;
  /** A Jetson's power mode, as `nvpmodel` names it. */
  readonly powerMode?: string;
}

const NVPMODEL_TIMEOUT_MS = 2_000;

/**
 * Reads what there is to say about this machine.
 * @param sysRoot where sysfs is mounted
 */
export async function hostFacts(sysRoot = '/sys'): Promise<HostFacts> {
  const board = await readFile(join(sysRoot, 'firmware/devicetree/base/model'), 'utf8').then(
    (text) => text.replaceAll('\0', '').trim(),
    () => undefined,
  );
  const powerMode = board === undefined ? undefined : await queryPowerMode();
  return {
    cpuModel: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${platform()}-${arch()}`,
    node: process.versions.node,
    onnxRuntime: onnxRuntimeVersion(),
    loadAverage: loadavg(),
    ...(board === undefined ? {} : { board }),
    ...(powerMode === undefined ? {} : { powerMode }),
  };
}

/** Name of the power mode in what `nvpmodel -q` prints. */
export function parsePowerMode(text: string): string | undefined {
  return /^NV Power Mode:\s*(\S.*?)\s*$/m.exec(text)?.[1];
}

async function queryPowerMode(): Promise<string | undefined> {
  return await promisify(execFile)('nvpmodel', ['-q'], { timeout: NVPMODEL_TIMEOUT_MS }).then(
    ({ stdout }) => parsePowerMode(stdout),
    () => undefined,
  );
}

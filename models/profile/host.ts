import { execFile } from 'node:child_process';
import { arch, availableParallelism, cpus, loadavg, platform, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { onnxRuntimeVersion } from '../../shared/onnx.ts';
import { parsePowerModeQuery } from '../../shared/power/nvpmodel.ts';
import { readText } from '../../shared/power/sysfs.ts';

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
  const board = await readText(join(sysRoot, 'firmware/devicetree/base/model'));
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

async function queryPowerMode(): Promise<string | undefined> {
  return await promisify(execFile)('nvpmodel', ['-q'], { timeout: NVPMODEL_TIMEOUT_MS }).then(
    ({ stdout }) => parsePowerModeQuery(stdout).name,
    () => undefined,
  );
}

import { readdir, readFile } from 'node:fs/promises';
import { arch, cpus } from 'node:os';
import { join } from 'node:path';

/** Lines of /proc/cpuinfo that say what code a CPU can run: of x86, then of ARM. */
const TELLING = [
  'model name',
  'flags',
  'Features',
  'CPU implementer',
  'CPU architecture',
  'CPU variant',
  'CPU part',
];

/**
 * What the optimised graph of a model depends on: architecture, and models and features of all CPUs. Text,
 * equal on equal machines.
 * @param root where `sys` and `proc` are mounted
 */
export async function machineIdentity(root = '/'): Promise<string> {
  const told = (await fromSysfs(root)) ?? (await fromCpuinfo(root)) ?? cpus().map(({ model }) => model);
  return [arch(), ...new Set(told)].join('\n');
}

/**
 * The kernel's name for the CPU's family, model and features, which is the same for all of them, and on ARM
 * each one's part. Before cpuinfo, which takes 20 ms where the kernel measures every clock for it.
 */
async function fromSysfs(root: string): Promise<string[] | undefined> {
  const folder = join(root, 'sys/devices/system/cpu');
  const name = await readFile(join(folder, 'modalias'), 'utf8').catch(() => undefined);
  if (name === undefined) return undefined;
  const places = (await readdir(folder)).filter((entry) => /^cpu\d+$/.test(entry)).sort();
  const parts = await Promise.all(
    places.map((cpu) => readFile(join(folder, cpu, 'regs/identification/midr_el1'), 'utf8').catch(() => '')),
  );
  return [name.trim(), ...parts.map((part) => part.trim())];
}

async function fromCpuinfo(root: string): Promise<string[] | undefined> {
  const info = await readFile(join(root, 'proc/cpuinfo'), 'utf8').catch(() => '');
  const lines = info.split('\n').filter((line) => TELLING.includes(line.split(':', 1)[0]?.trim() ?? ''));
  return lines.length > 0 ? lines : undefined;
}

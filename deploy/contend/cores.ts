import { readFileSync } from 'node:fs';

/** Numbers of the cores that this process may run on; none where the kernel does not say. */
export function allowedCores(): number[] {
  try {
    const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    return parseCoreList(list ?? '');
  } catch {
    return [];
  }
}

/** The kernel's notation: `0-3,6`. */
export function parseCoreList(text: string): number[] {
  return text.split(',').flatMap((range) => {
    const [, first, last = first] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(range.trim()) ?? [];
    if (first === undefined) return [];
    return Array.from(
      { length: Math.max(0, Number(last) - Number(first) + 1) },
      (_, index) => Number(first) + index,
    );
  });
}

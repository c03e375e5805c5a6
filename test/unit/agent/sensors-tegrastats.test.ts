import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { Child } from '../../../agent/sensors/processes.ts';
import { startTegrastats } from '../../../agent/sensors/tegrastats.ts';
import { parseTegrastats, type TegrastatsLine } from '../../../agent/sensors/tegrastats-line.ts';
import { manualClock } from '../../support/clock.ts';

const NANO_JP4 =
  'RAM 1903/3964MB (lfb 3x512kB) SWAP 0/1982MB (cached 0MB) IRAM 0/252kB(lfb 252kB) CPU [11%@102,6%@102,off,off] ' +
  'EMC_FREQ 4%@204 GR3D_FREQ 3%@76 APE 25 PLL@20C CPU@23.5C iwlwifi@35C PMIC@100C GPU@22.5C AO@29.5C thermal@23C ' +
  'POM_5V_IN 933/933 POM_5V_GPU 0/0 POM_5V_CPU 124/124';
const ORIN_NANO_JP5 =
  '10-08-2026 04:35:02 RAM 6712/7620MB (lfb 12x4MB) SWAP 369/3810MB (cached 8MB) CPU [38%@1497,2%@729,off] ' +
  'EMC_FREQ 61%@2133 GR3D_FREQ 10%@1300 NVDEC off VIC off APE 200 cpu@57.125C soc2@55.093C gpu@58.625C ' +
  'tj@58.312C VDD_IN 16321mW/11204mW VDD_CPU_GPU_CV 7104mW/4944mW VDD_SOC 3120mW/3659mW';
const AGX_ORIN_JP6 =
  'RAM 4321/62801MB (lfb 1759x4MB) SWAP 19/31400MB (cached 0MB) CPU [0%@729,0%@729] EMC_FREQ 0%@2133 ' +
  'GR3D_FREQ 0%@[0,0] VIC_FREQ 729 APE 174 CV0@-256C CPU@44.562C Tboard@32C SOC2@40.093C GPU@-256C tj@44.343C ' +
  'VDD_GPU_SOC 2390mW/2390mW VDD_CPU_CV 390mW/390mW VIN_SYS_5V0 4025mW/4025mW NC 0mW/0mW VDDQ_VDD2_1V8AO 301mW/301mW';
const ORIN_JP7 =
  '05-09-2026 18:42:06 RAM 18207/62841MB (lfb 466x4MB) SWAP 86/31420MB (cached 0MB) CPU [14%@2188,5%@2112] ' +
  'EMC_FREQ 3%@2133 GR3D_FREQ 12%@[1300,1300] NVENC0_FREQ @1691 cpu@52.9C/52.9C soc0@49.093C/50C tj@52.5C/53C ' +
  'VDD_GPU_SOC 5139mW/5139mW/5139mW VDD_CPU_CV 1607mW/1607mW/1700mW VIN_SYS_5V0 4707mW/4707mW/4800mW';
const THOR =
  '08-08-2026 20:58:23 RAM 3429/125749MB (lfb 120x4MB) CPU [0%,5%,off]@2601 EMC_FREQ @4266 ' +
  'GR3D_FREQ @[1000,1000,1000] VIC off cpu@49.75C/49.75C tj@51.218C/51.218C gpu@51.2C/51.218C ' +
  'VDD_GPU 6330mW/6330mW/6330mW VDD_CPU_SOC_MSS 4000mW/4000mW/4000mW VIN_SYS_5V0 5000mW/5000mW/5000mW ' +
  'VIN 28906mW/14453mW/28906mW';

describe('a line of tegrastats', () => {
  it.each<[string, string, TegrastatsLine]>([
    [
      'Nano, JetPack 4',
      NANO_JP4,
      {
        watts: 0.933,
        scope: 'module',
        rails: 'POM_5V_IN',
        hottest: { zone: 'ao', tempC: 29.5 },
        gpu: { load: 0.03, freqHz: 76e6 },
      },
    ],
    [
      'Orin Nano, JetPack 5',
      ORIN_NANO_JP5,
      {
        watts: 16.321,
        scope: 'module',
        rails: 'VDD_IN',
        hottest: { zone: 'gpu', tempC: 58.625 },
        gpu: { load: 0.1, freqHz: 1.3e9 },
      },
    ],
    [
      'AGX Orin, JetPack 6, its GPU off',
      AGX_ORIN_JP6,
      {
        watts: 6.805,
        scope: 'module',
        rails: 'VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0',
        hottest: { zone: 'cpu', tempC: 44.562 },
        gpu: { load: 0, freqHz: undefined },
      },
    ],
    [
      'Orin, JetPack 7',
      ORIN_JP7,
      {
        watts: 11.453,
        scope: 'module',
        rails: 'VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0',
        hottest: { zone: 'cpu', tempC: 52.9 },
        gpu: { load: 0.12, freqHz: 1.3e9 },
      },
    ],
    [
      'Thor, which tells no load',
      THOR,
      {
        watts: 28.906,
        scope: 'board',
        rails: 'VIN',
        hottest: { zone: 'tj', tempC: 51.218 },
        gpu: { load: undefined, freqHz: 1e9 },
      },
    ],
    [
      'GPU alone',
      'GR3D_FREQ 0%',
      {
        watts: undefined,
        scope: 'module',
        rails: '',
        hottest: undefined,
        gpu: { load: 0, freqHz: undefined },
      },
    ],
  ])('%s', (_case, line, expected) => {
    expect(parseTegrastats(line)).toEqual(expected);
  });

  it.each([
    '',
    'tegrastats: permission denied',
    'RAM 1903/3964MB (lfb 3x512kB)',
    'GR3D_FREQ off',
    'CPU@NaNC',
    'VDD_IN -5mW/-5mW',
  ])('is nothing when it is "%s"', (line) => {
    expect(parseTegrastats(line)).toBeUndefined();
  });

  test('whatever it is, what is read from it is possible', () => {
    const words = fc.array(
      fc.constantFrom(...THOR.split(' '), ...NANO_JP4.split(' '), 'GR3D_FREQ', '999%@9', 'x@999C', 'VIN 1/2'),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ maxLength: 200 }),
          words.map((parts) => parts.join(' ')),
        ),
        (line) => {
          const parsed = parseTegrastats(line);
          expect(parsed?.watts ?? 0).toBeGreaterThanOrEqual(0);
          expect(Math.abs((parsed?.gpu.load ?? 0) - 0.5)).toBeLessThanOrEqual(0.5);
          expect(Math.abs(parsed?.hottest?.tempC ?? 0)).toBeLessThanOrEqual(150);
        },
      ),
    );
  });
});

/** A program whose output is written by the test. */
function fakeChild() {
  const { readable, writable } = new TransformStream<string, string>(undefined, undefined, {
    highWaterMark: 100,
  });
  const writer = writable.getWriter();
  const calls: string[] = [];
  const child: Child = { output: readable, kill: () => calls.push('kill') };
  const spawn = (file: string, args: readonly string[]): Child => {
    calls.push([file, ...args].join(' '));
    return child;
  };
  return {
    spawn,
    calls,
    print: async (text: string) => await writer.write(text),
    end: async () => await writer.close(),
  };
}
const settled = async (): Promise<void> => await new Promise((resolve) => setTimeout(resolve, 0));

describe('tegrastats as a running program', () => {
  it('is read by its newest whole line, in pieces as they come, and ended when it is closed', async () => {
    const clock = manualClock();
    const { spawn, calls, print } = fakeChild();
    const source = startTegrastats({ spawn, clock, intervalMs: 500 });
    expect(await source.read()).toBeUndefined();
    await print(`${NANO_JP4}\n${NANO_JP4.replace('933/933', '1000/950')}\n${THOR.slice(0, 100)}`);
    await settled();
    expect(await source.read()).toMatchObject({ watts: 1, atMs: 0 });
    await clock.advance(400);
    await print(`${THOR.slice(100)}\n`);
    await settled();
    expect(await source.read()).toMatchObject({ watts: 28.906, atMs: 400 });
    source.close?.();
    expect(calls).toEqual(['tegrastats --interval 500', 'kill']);
  });

  it('fails when it is silent for long, from the start or later', async () => {
    const clock = manualClock();
    const { spawn, print } = fakeChild();
    const source = startTegrastats({ spawn, clock, intervalMs: 500 });
    await clock.advance(10_000);
    await expect(source.read()).rejects.toMatchObject({
      code: 'system',
      message: 'tegrastats: no line for 10000 ms',
    });
    await print(`${NANO_JP4}\n`);
    await settled();
    await clock.advance(1_500);
    expect(await source.read()).toMatchObject({ watts: 0.933 });
    await clock.advance(1);
    await expect(source.read()).rejects.toThrow('no line for 1501 ms');
  });

  it('fails when it has ended', async () => {
    const { spawn, end } = fakeChild();
    const source = startTegrastats({ spawn, clock: manualClock(), intervalMs: 500 });
    await end();
    await settled();
    await expect(source.read()).rejects.toThrow('tegrastats has ended');
  });

  it('leaves out a line without end, and reads on after it', async () => {
    const { spawn, print } = fakeChild();
    const source = startTegrastats({ spawn, clock: manualClock(), intervalMs: 500 });
    for (let count = 0; count < 50; count += 1) await print('VDD_IN 1mW/1mW '.repeat(100));
    await print(`\n${ORIN_NANO_JP5}\n`);
    await settled();
    expect(await source.read()).toMatchObject({ watts: 16.321 });
  });
});

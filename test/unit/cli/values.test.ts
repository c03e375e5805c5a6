import { describe, expect, it } from 'vitest';
import {
  BUDGET_FIELDS,
  parseBudget,
  parseFields,
  parseLabelWords,
  parseSettingWords,
  parseTarget,
  scopeOf,
} from '../../../controller/cli/values.ts';
import { parseCount, parseFraction, parseTime } from '../../../shared/cli/values.ts';
import { REQUIREMENT_FIELD_NAMES } from '../../../shared/protocol/requirement-rules.ts';

const NOW = Date.parse('2026-05-01T12:00:00Z');

describe('parseTarget', () => {
  it('takes no option for the whole fleet', () => {
    expect(scopeOf(parseTarget({}))).toEqual({ kind: 'fleet' });
  });

  it('takes one option of the three', () => {
    expect(scopeOf(parseTarget({ device: 'jetson-1' }))).toEqual({ kind: 'device', device: 'jetson-1' });
    expect(scopeOf(parseTarget({ group: 'lab' }))).toEqual({ kind: 'group', name: 'lab' });
  });

  it('brings a selector into the form in which it is always written', () => {
    const selector = 'site=lab,!retired , model in (nx,nano)';
    expect(scopeOf(parseTarget({ selector }))).toEqual({
      kind: 'selector',
      selector: '!retired,model in (nano,nx),site=lab',
    });
  });

  it('refuses two options', () => {
    expect(() => parseTarget({ device: 'a', group: 'b' })).toThrow('only one of');
  });

  it.each(['', 'A', '../x', 'a b', '-a', 'x'.repeat(64)])('refuses %j as an id', (device) => {
    expect(() => parseTarget({ device })).toThrow('is not an id');
  });
});

describe('parseTime', () => {
  it('reads an age as a time before now', () => {
    expect(parseTime('24h', NOW, '--since')).toBe(NOW - 86_400_000);
  });

  it('reads ISO 8601', () => {
    expect(parseTime('2026-05-01T11:00:00Z', NOW, '--since')).toBe(NOW - 3_600_000);
    expect(parseTime('2026-05-01', NOW, '--since')).toBe(Date.parse('2026-05-01T00:00:00Z'));
  });

  it.each(['2026-13-01', '2026-05-01Tnoon', '-1h', 'yesterday', '5W', '9999999d'])('refuses %j', (text) => {
    expect(() => parseTime(text, NOW, '--since')).toThrow(/^--since: /);
  });
});

describe('parseBudget', () => {
  it('reads every field in its unit', () => {
    expect(
      parseBudget({
        ...{ latency: '2ms', missShare: '2%', accuracyFloor: '0.92' },
        ...{ power: '12W', energy: '50mJ', temp: '80C', price: '0.02', priority: 'accuracy,latency' },
      }),
    ).toEqual({
      ...{ latencyMs: 2, missShare: 0.02, accuracyFloor: 0.92 },
      ...{ powerW: 12, energyJ: 0.05, tempC: 80, price: 0.02, priority: 'accuracy,latency' },
    });
  });

  it('leaves out what is not given', () => {
    expect(parseBudget({ latency: '500us' })).toEqual({ latencyMs: 0.5 });
  });

  it('wants at least one field', () => {
    expect(() => parseBudget({})).toThrow('at least one of');
  });

  it.each([
    [{ latency: '2W' }, "--latency: '2W' is a power"],
    [{ latency: '0ms' }, 'above zero'],
    [{ accuracyFloor: '92' }, 'write for example 0.92 or 92%'],
    [{ missShare: '-1%' }, 'not between 0 and 1'],
    [{ missShare: '100%' }, '--miss-share: 1 is not a number at least 0 and below 1'],
    [{ latency: '1h' }, '--latency: 3600000 is not a number above 0 and at most 600000'],
    [{ power: '-5W' }, '--power: -5 is not a number above 0'],
    [{ power: '5J' }, "--power: '5J' is an energy"],
    [{ energy: '0mJ' }, '--energy: 0 is not a number above 0'],
    [{ temp: '200C' }, '--temp: 200 is not a number at least 0 and at most 150'],
    [{ temp: '80' }, "--temp: '80' has no unit"],
    [{ price: 'NaN' }, "--price: 'NaN' is not a number"],
    [{ price: '-1' }, "--price: '-1' is not a number"],
    [{ price: '1e999' }, "--price: '1e999' is not a number"],
    [
      { priority: 'speed' },
      "--priority: 'speed' is not a limit; name temperature, latency, accuracy, energy",
    ],
    [{ priority: 'latency,speed' }, "--priority: 'speed' is not a limit"],
    [{ priority: 'latency,energy,latency' }, "--priority: 'latency,energy,latency' names latency twice"],
    [{ priority: '' }, "--priority: '' is not a limit"],
  ])('refuses %j', (options, message) => {
    expect(() => parseBudget(options)).toThrow(message);
  });
});

describe('parseSettingWords', () => {
  it('tells settings from devices', () => {
    expect(
      parseSettingWords(['jetson-1', 'window=30s', 'frame-rate=20fps', 'jetson-2', 'log-level=debug']),
    ).toEqual({
      settings: { windowMs: 30_000, frameRate: 20, logLevel: 'debug' },
      devices: ['jetson-1', 'jetson-2'],
    });
  });

  it.each([
    [['jetson-1'], 'at least one setting'],
    [['colour=red'], "'colour' is not one of window, frame-rate, log-level"],
    [['log-level=loud'], 'not one of trace'],
    [['window=2W'], 'is a power'],
    [['toString=1'], 'is not one of'],
  ])('refuses %j', (words, message) => {
    expect(() => parseSettingWords(words)).toThrow(message);
  });
});

describe('parseLabelWords', () => {
  it('sets with = and removes with a dash', () => {
    expect(parseLabelWords(['site=lab', 'retired-', 'rack=a-'])).toEqual({
      set: { site: 'lab', rack: 'a-' },
      remove: ['retired'],
    });
  });

  it.each(['site', '=lab', 'site=', '-', 'a b=c', 'site=a b'])('refuses %j', (label) => {
    expect(() => parseLabelWords([label])).toThrow('is not a label');
  });
});

describe('other values', () => {
  it('takes names of fields, and all of them where none is named', () => {
    expect(parseFields(['miss-share', 'latency', 'latency'], BUDGET_FIELDS)).toEqual([
      'missShare',
      'latencyMs',
    ]);
    expect(parseFields([], BUDGET_FIELDS)).toEqual(REQUIREMENT_FIELD_NAMES);
    expect(() => parseFields(['speed'], BUDGET_FIELDS)).toThrow("'speed' is not one of");
  });

  it('takes counts above zero only', () => {
    expect(parseCount('50', '-n')).toBe(50);
    for (const text of ['0', '-1', '1.5', '1e3', '', 'many']) {
      expect(() => parseCount(text, '-n')).toThrow('-n');
    }
  });

  it('takes fractions with and without a percent sign', () => {
    expect(parseFraction('100%', '--x')).toBe(1);
    expect(parseFraction('0', '--x')).toBe(0);
  });
});

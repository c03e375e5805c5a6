import { describe, expect, it } from 'vitest';
import {
  type Column,
  formatAge,
  formatBar,
  formatLabels,
  formatPercent,
  formatSheet,
  printable,
} from '../../../shared/cli/format.ts';

interface Row {
  readonly id: string;
  readonly ms: number | undefined;
}
const columns: Column<Row>[] = [
  { head: 'ID', value: (row) => row.id },
  {
    head: 'P95',
    value: (row) => row.ms,
    text: (row) => (row.ms === undefined ? '' : `${row.ms}ms`),
    align: 'right',
  },
];
const rows: Row[] = [
  { id: 'jetson-1', ms: 1.5 },
  { id: 'a,"b"', ms: undefined },
];
const sheet = { rows, columns, json: { devices: rows } };

describe('formatSheet', () => {
  it('aligns a table without lines, and shows what is missing', () => {
    expect(formatSheet(sheet, { format: 'table', color: false })).toBe(
      ['ID          P95', 'jetson-1  1.5ms', 'a,"b"         -', ''].join('\n'),
    );
  });

  it('has no escape codes without colour, and bold heads with it', () => {
    expect(formatSheet(sheet, { format: 'table', color: false })).not.toContain('\u001b');
    expect(formatSheet(sheet, { format: 'table', color: true })).toContain('\u001b[1mID\u001b[22m');
  });

  it('writes CSV with plain numbers and quotes where they are needed', () => {
    expect(formatSheet(sheet, { format: 'csv', color: true })).toBe('id,p95\njetson-1,1.5\n"a,""b""",\n');
  });

  it('writes the whole answer as JSON', () => {
    const text = formatSheet(sheet, { format: 'json', color: true });
    expect(JSON.parse(text)).toEqual({ devices: [{ id: 'jetson-1', ms: 1.5 }, { id: 'a,"b"' }] });
  });

  it('prints only the heads of an empty table', () => {
    expect(formatSheet({ ...sheet, rows: [] }, { format: 'table', color: false })).toBe('ID  P95\n');
  });

  it('keeps what a device sends from commanding the terminal', () => {
    const evil = [{ id: '\u001b[2Jx\r\ny', ms: 1 }];
    const text = formatSheet({ ...sheet, rows: evil }, { format: 'table', color: false });
    expect(text).toContain(' [2Jx y');
    expect(printable('\u009b31mred\u0007')).toBe(' 31mred ');
  });
});

describe('values for people', () => {
  it('writes shares, ages and labels', () => {
    expect(formatPercent(0.9234)).toBe('92.34%');
    expect(formatPercent(null)).toBe('');
    expect(formatAge(1_000, 91_400)).toBe('1.5m ago');
    expect(formatAge(5_000, 4_000)).toBe('0s ago');
    expect(formatLabels({ site: 'lab', model: 'nx' })).toBe('model=nx,site=lab');
  });

  it('draws a bar in eighths of a character', () => {
    expect(formatBar(10, 10, 4)).toBe('████');
    expect(formatBar(5, 10, 4)).toBe('██');
    expect(formatBar(1, 32, 4)).toBe('▏');
    expect(formatBar(0, 10)).toBe('');
    expect(formatBar(1, 0)).toBe('');
  });
});

import { type Column, formatMs, formatPercent } from '../../shared/cli/format.ts';
import type { Requirement, Settings } from '../../shared/protocol/requirement.ts';
import type { RequirementField } from '../../shared/protocol/requirement-rules.ts';
import { formatDurationMs, formatEnergyJ, formatPowerW, formatTempC } from '../../shared/units.ts';
import type { Scope, Stated } from '../api/schemas.ts';
import { BUDGET_FIELDS, scopeOf, type Target } from './values.ts';

/** A scope as people read it. */
export function formatScope(scope: Scope): string {
  switch (scope.kind) {
    case 'fleet':
      return 'fleet';
    case 'group':
      return `group ${scope.name}`;
    case 'selector':
      return `selector ${scope.selector}`;
    case 'device':
      return `device ${scope.device}`;
  }
}

/** What the scopes that a target names state; without a target, all that states anything. */
export function statedOf(stated: readonly Stated[], target: Target): readonly Stated[] {
  if (Object.keys(target).length === 0) return stated;
  const scope = formatScope(scopeOf(target));
  return stated.filter((each) => formatScope(each.scope) === scope);
}

const NUMBER_TEXT: Readonly<Record<Exclude<RequirementField, 'priority'>, (value: number) => string>> = {
  latencyMs: formatDurationMs,
  missShare: formatPercent,
  accuracyFloor: formatPercent,
  powerW: formatPowerW,
  energyJ: formatEnergyJ,
  tempC: formatTempC,
  price: (price) => String(Number(price.toPrecision(4))),
};

/** The value of a field of a requirement as people read it; empty where nothing is stated. */
export function fieldText(field: RequirementField, value: string | number | undefined): string {
  if (typeof value !== 'number' || field === 'priority') return String(value ?? '');
  return NUMBER_TEXT[field](value);
}

/** The fields of a requirement as columns of whatever rows hold one. */
export function requirementColumns<Row>(of: (row: Row) => Requirement): Column<Row>[] {
  return Object.entries(BUDGET_FIELDS).map(([name, field]) => ({
    head: name.toUpperCase(),
    value: (row) => of(row)[field],
    text: (row) => fieldText(field, of(row)[field]),
  }));
}

/** The fields of settings as columns. */
export function settingsColumns<Row>(of: (row: Row) => Settings): Column<Row>[] {
  return [
    { head: 'WINDOW', value: (row) => of(row).windowMs, text: (row) => formatMs(of(row).windowMs) },
    {
      head: 'FRAME-RATE',
      value: (row) => of(row).frameRate,
      text: (row) => (of(row).frameRate === undefined ? '' : `${of(row).frameRate}fps`),
    },
    { head: 'LOG-LEVEL', value: (row) => of(row).logLevel },
  ];
}

/** A table of what scopes state: the scope, the fields, and how many devices it applies to. */
export function statedColumns(fields: readonly Column<Stated>[]): Column<Stated>[] {
  return [
    { head: 'SCOPE', value: (row) => formatScope(row.scope) },
    ...fields,
    { head: 'DEVICES', value: (row) => row.devices, align: 'right' },
  ];
}

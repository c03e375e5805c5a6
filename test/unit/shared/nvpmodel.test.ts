import { expect, test } from 'vitest';
import { parsePowerModeQuery } from '../../../shared/power/nvpmodel.ts';

test('the power mode is read from what nvpmodel prints', () => {
  expect(parsePowerModeQuery('NV Fan Mode:quiet\nNV Power Mode: MODE_15W\n2\n')).toEqual({
    id: 2,
    name: 'MODE_15W',
  });
  expect(parsePowerModeQuery('NVPM ERROR: no permission')).toEqual({ id: undefined, name: undefined });
});

import { describe, expect, it } from 'vitest';
import { checkNodeVersion } from '../../../shared/node-version.ts';

describe('checkNodeVersion', () => {
  it('says in one line what is wrong with an older Node.js, and where that one lies', () => {
    const line = checkNodeVersion({ node: '20.20.2' }, 'ofa-fleet', '/usr/bin/node');
    expect(line).toMatch(/^ofa-fleet needs Node\.js 24 or newer; this is 20\.20\.2 \(\/usr\/bin\/node\)/);
    expect(line).not.toContain('\n');
  });

  it.each(['24.0.0', '24.21.0', '26.1.0', '100.0.0'])('takes %s', (node) => {
    expect(checkNodeVersion({ node }, 'ofa-fleet')).toBeUndefined();
  });
});

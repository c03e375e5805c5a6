import { expect, test } from 'vitest';
import { checkAlertsConfig } from '../../../controller/alerts/config.ts';
import { ALERTS_DEFAULTS } from '../../support/alerts.ts';

const withUrl = (webhookUrl: string) => () => checkAlertsConfig({ ...ALERTS_DEFAULTS, webhookUrl });

test('the defaults are in order', () => {
  expect(ALERTS_DEFAULTS).toMatchObject({ violatedMs: 60_000, silentWindows: 3, outboxAgeMs: 600_000 });
  expect(() => checkAlertsConfig(ALERTS_DEFAULTS)).not.toThrow();
});

test.each(['https://example.org/hook', 'http://127.0.0.1:9/x', 'http://[::1]:9/', 'http://localhost/'])(
  'a webhook may be %s',
  (url) => {
    expect(withUrl(url)).not.toThrow();
  },
);

test.each([
  ['http://example.org/secret', 'another machine; use https'],
  ['ftp://example.org', 'is not an address'],
  ['not an address', 'is not an address'],
  ['https://me:secret@example.org', 'must not hold a name or password'],
])('a webhook may not be %s, and the error does not show it', (url, text) => {
  expect(withUrl(url)).toThrow(text);
  expect(withUrl(url)).not.toThrow('secret');
});

test('there is one token, and at least one window', () => {
  const both = { ...ALERTS_DEFAULTS, webhookToken: 'a', webhookTokenFile: 'b' };
  expect(() => checkAlertsConfig(both)).toThrow('not both');
  expect(() => checkAlertsConfig({ ...ALERTS_DEFAULTS, silentWindows: 0 })).toThrow('write 1 to 100');
});

import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { createNotifier, type Notifier } from '../../../controller/alerts/notifier.ts';
import { createWebhook, webhookToken } from '../../../controller/alerts/webhook.ts';
import type { AlertNotification } from '../../../controller/api/alert-schemas.ts';
import { createAlertStore } from '../../../controller/store/alert-store.ts';
import { openFleetStore } from '../../../controller/store/fleet-store.ts';
import { systemClock } from '../../../shared/clock.ts';
import { notificationOf, quietLog } from '../../support/alerts.ts';
import { temporaryFolder } from '../../support/temp.ts';

interface Reply {
  readonly status: number;
  readonly headers?: Record<string, string>;
  /** Never answers. */
  readonly hangs?: boolean;
}

interface Heard {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly alerts: AlertNotification[];
}

/** A real server that answers as it is told, one answer after the other, and then always with the last. */
async function serve(...replies: Reply[]) {
  const heard: Heard[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const reply = replies[Math.min(heard.length, replies.length - 1)] ?? { status: 204 };
    const { alerts } = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    heard.push({ path: request.url ?? '', headers: request.headers, alerts });
    if (reply.hangs !== true) response.writeHead(reply.status, reply.headers).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}/hook`,
    heard,
    names: () => heard.map(({ alerts }) => alerts.map(({ notification }) => notification)),
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** Short delays, so that retries do not take the test's time. */
const hurried = {
  ...systemClock,
  sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms / 100, signal),
};

function notifierTo(url: string, store: Pick<ReturnType<typeof createAlertStore>, 'undelivered' | 'forget'>) {
  const webhook = createWebhook(url, { token: 'secret', timeoutMs: 100 });
  return createNotifier({ clock: hurried, random: () => 0.5, log: quietLog, webhook, store });
}

async function delivered(notifier: Notifier, count: number): Promise<void> {
  await vi.waitFor(() => expect(notifier.state()).toMatchObject({ delivered: count, waiting: 0 }), {
    interval: 5,
    timeout: 5_000,
  });
}

const NO_STORE = { undelivered: () => [], forget: () => undefined };

test('a webhook that fails at first is told in the end, with the same key each time', async () => {
  await using server = await serve({ status: 503 }, { status: 500 }, { status: 429 }, { status: 200 });
  await using notifier = notifierTo(server.url, NO_STORE);
  notifier.start();
  notifier.push([notificationOf(1), notificationOf(2)]);
  await vi.waitFor(() => expect(notifier.state().failures).toBeGreaterThan(0), { interval: 1 });
  // What comes meanwhile is told by itself: what may have arrived is repeated as it was.
  notifier.push([notificationOf(3)]);
  await delivered(notifier, 3);
  const both = ['1-firing', '2-firing'];
  expect(server.names()).toEqual([both, both, both, both, ['3-firing']]);
  const keys = server.heard.map(({ headers }) => headers['idempotency-key']);
  expect(new Set(keys.slice(0, 4)).size).toBe(1);
  expect(keys[4]).not.toBe(keys[0]);
  expect(server.heard[0]).toMatchObject({
    path: '/hook',
    headers: { authorization: 'Bearer secret', 'content-type': 'application/json' },
    alerts: [notificationOf(1), notificationOf(2)],
  });
  expect(notifier.state()).toEqual({ waiting: 0, delivered: 3, failures: 3, dropped: 0 });
});

test('a server that hangs or is not there is asked again', async () => {
  await using server = await serve({ status: 200, hangs: true }, { status: 200 });
  await using notifier = notifierTo(server.url, NO_STORE);
  notifier.start();
  notifier.push([notificationOf(1)]);
  await delivered(notifier, 1);
  expect(server.heard).toHaveLength(2);
});

test('a redirect is not followed: the token is not for others', async () => {
  await using other = await serve({ status: 200 });
  await using server = await serve({ status: 307, headers: { location: other.url } }, { status: 200 });
  await using notifier = notifierTo(server.url, NO_STORE);
  notifier.start();
  notifier.push([notificationOf(1)]);
  await delivered(notifier, 1);
  expect(other.heard).toEqual([]);
  expect(server.heard).toHaveLength(2);
});

test('what was not delivered before a stop is delivered after it, and then no more', async () => {
  await using folder = await temporaryFolder();
  using fleet = openFleetStore(folder.path);
  const store = createAlertStore(fleet.sqlite);
  const told = [notificationOf(1), notificationOf(1, 'resolved')];
  store.save({ alerts: [], spells: new Map(), notifications: told });
  {
    await using down = await serve({ status: 503 });
    await using notifier = notifierTo(down.url, store);
    notifier.start();
    await vi.waitFor(() => expect(notifier.state().failures).toBeGreaterThan(0));
  }
  await using server = await serve({ status: 204 });
  {
    await using notifier = notifierTo(server.url, store);
    notifier.start();
    await delivered(notifier, 2);
  }
  expect(server.names()).toEqual([['1-firing', '1-resolved']]);
  expect(store.undelivered()).toEqual([]);
});

test('one alert that the webhook refuses does not hold up the others', async () => {
  const refuses = (names: readonly string[]) => names.includes('3-firing');
  const got: string[] = [];
  const webhook = {
    post: async (batch: readonly AlertNotification[]) => {
      const names = batch.map(({ notification }) => notification);
      if (refuses(names)) return { kind: 'refused' as const, reason: 'status 422' };
      got.push(...names);
      return { kind: 'delivered' as const };
    },
  };
  await using notifier = createNotifier({
    clock: hurried,
    random: () => 0.5,
    log: quietLog,
    webhook,
    store: NO_STORE,
  });
  notifier.start();
  notifier.push([1, 2, 3, 4, 5].map((id) => notificationOf(id)));
  await delivered(notifier, 4);
  expect(got).toEqual(['1-firing', '2-firing', '4-firing', '5-firing']);
  expect(notifier.state().dropped).toBe(1);
});

test('what waits is bounded', async () => {
  await using notifier = notifierTo('http://127.0.0.1:1/', NO_STORE);
  notifier.push(Array.from({ length: 10_020 }, (_, id) => notificationOf(id)));
  expect(notifier.state()).toMatchObject({ waiting: 10_000, dropped: 20 });
});

test('the token comes from the environment or a file', async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, 'token');
  await writeFile(file, 'from-file\n');
  expect(await webhookToken({ webhookToken: '', webhookTokenFile: '' })).toBeUndefined();
  expect(await webhookToken({ webhookToken: 'word', webhookTokenFile: '' })).toBe('word');
  expect(await webhookToken({ webhookToken: '', webhookTokenFile: file })).toBe('from-file');
  await writeFile(file, 'two words');
  await expect(webhookToken({ webhookToken: '', webhookTokenFile: file })).rejects.toThrow('one word');
  await expect(webhookToken({ webhookToken: '', webhookTokenFile: `${file}x` })).rejects.toThrow(
    'no such file',
  );
});

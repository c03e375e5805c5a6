import { AppError, describeError } from '../../shared/errors.ts';
import { readWhole, sha256 } from '../../shared/files.ts';
import type { AlertNotification } from '../api/alert-schemas.ts';
import type { AlertsConfig } from './config.ts';

const TIMEOUT_MS = 10_000;
const MAX_TOKEN_BYTES = 16 * 1024;
/** A server may ask for patience, but not for ever. */
const MAX_RETRY_AFTER_MS = 300_000;

export type Delivery =
  | { readonly kind: 'delivered' }
  /** It may work later: the server cannot be reached, is busy, or does not let us in. */
  | { readonly kind: 'later'; readonly reason: string; readonly afterMs?: number }
  /** It will never take exactly this. */
  | { readonly kind: 'refused'; readonly reason: string };

export interface Webhook {
  /** Posts notifications in one request; never rejects but when `signal` aborts. */
  post(notifications: readonly AlertNotification[], signal: AbortSignal): Promise<Delivery>;
}

/**
 * The token for the webhook, from the environment or a file; undefined when there is none.
 * @throws AppError `config` when the file cannot be read or holds none
 */
export async function webhookToken({
  webhookToken: token,
  webhookTokenFile: file,
}: Pick<AlertsConfig, 'webhookToken' | 'webhookTokenFile'>): Promise<string | undefined> {
  if (token !== '') return checkToken(token, 'alerts.webhookToken');
  if (file === '') return undefined;
  try {
    const text = Buffer.from(await readWhole(file, MAX_TOKEN_BYTES)).toString('utf8');
    return checkToken(text.trim(), file);
  } catch (cause) {
    if (cause instanceof AppError && cause.code === 'config') throw cause;
    throw new AppError('config', `alerts.webhookTokenFile: ${describeError(cause)}`, { cause });
  }
}

function checkToken(token: string, place: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new AppError('config', `${place}: expected a token, one word without spaces`);
}

/** Speaks to one address by HTTP. Whoever redirects it is not obeyed: the token is for this address only. */
export function createWebhook(
  url: string,
  { token, timeoutMs = TIMEOUT_MS }: { readonly token: string | undefined; readonly timeoutMs?: number },
): Webhook {
  return {
    post: async (notifications, signal) => {
      try {
        const response = await fetch(url, {
          method: 'POST',
          redirect: 'manual',
          headers: headersOf(notifications, token),
          body: JSON.stringify({ alerts: notifications }),
          signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
        });
        // Whatever it says is of no interest, and may be long.
        await response.body?.cancel();
        return deliveryOf(response);
      } catch (error) {
        signal.throwIfAborted();
        return { kind: 'later', reason: describeError(error) };
      }
    },
  };
}

function headersOf(notifications: readonly AlertNotification[], token: string | undefined) {
  return {
    'Content-Type': 'application/json',
    'User-Agent': 'ofa-fleet',
    // The same for the same content, also after a restart.
    'Idempotency-Key': sha256(notifications.map(({ notification }) => notification).join(' ')),
    ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
  };
}

/** Statuses by which a server says that the content is at fault, not the moment or the address. */
const REFUSALS: ReadonlySet<number> = new Set([400, 413, 422]);

function deliveryOf(response: Response): Delivery {
  const { status } = response;
  if (response.ok) return { kind: 'delivered' };
  const reason = status >= 300 && status < 400 ? `redirect (${status}) refused` : `status ${status}`;
  if (REFUSALS.has(status)) return { kind: 'refused', reason };
  const seconds = Number(response.headers.get('retry-after') ?? '');
  const afterMs = Math.min(MAX_RETRY_AFTER_MS, seconds * 1_000);
  return afterMs > 0 ? { kind: 'later', reason, afterMs } : { kind: 'later', reason };
}

import { AppError } from '../../shared/errors.ts';
import type { InstallReport } from '../../shared/protocol/release.ts';
import type { Installed, Retry } from '../store/install-journal.ts';
import type { Done } from './next-step.ts';

/** How much of a release's blobs is there. */
export interface Progress {
  readonly bytes: number;
  readonly ofBytes: number;
}

/** An order that this process carries out: its steps, and what they have made so far. Disposing releases that. */
export interface Attempt extends AsyncDisposable {
  readonly done: Done;
  /** What the order leads to; known once it is staged. */
  readonly target: Installed | undefined;
  /** Blobs that must not be collected meanwhile. */
  readonly blobs: ReadonlySet<string>;
  /** @throws Refused when the order cannot be carried out here, before anything has changed */
  fetch(signal: AbortSignal): Promise<void>;
  stage(signal: AbortSignal): Promise<void>;
  profile(signal: AbortSignal): Promise<InstallReport['profile']>;
  compare(signal: AbortSignal): Promise<InstallReport['agreement']>;
  /** Makes the target run. */
  activate(signal: AbortSignal): Promise<void>;
}

/** An order is refused before anything was changed. */
export class Refused extends AppError {
  /** What has to change before it is looked at again. */
  readonly retry: Retry | undefined;

  constructor(message: string, { retry, cause }: { readonly retry?: Retry; readonly cause?: unknown } = {}) {
    super('invalid', message, { cause });
    this.name = 'Refused';
    this.retry = retry;
  }
}

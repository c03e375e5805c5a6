import { parentPort, type TransferListItem, Worker, workerData } from 'node:worker_threads';
import { AppError, describeError, type ErrorCode, invariant } from '../../../shared/errors.ts';

/** Functions of one argument that a worker serves; what goes in and out is copied (structured clone). */
export type Api<A> = { readonly [K in keyof A]: (argument: never) => unknown };

type Argument<F> = F extends (argument: infer T) => unknown ? T : never;
type Result<F> = F extends (argument: never) => infer T ? Awaited<T> : never;

/** An error as it crosses the border: of a class only its fields do. */
interface ErrorText {
  readonly code: ErrorCode | undefined;
  readonly message: string;
}

interface Request {
  readonly call: number;
  readonly method: string;
  readonly argument: unknown;
}
type ToWorker = Request | 'open' | 'close';
type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'unready'; readonly error: ErrorText }
  | { readonly kind: 'answer'; readonly call: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly call: number; readonly error: ErrorText };

/** What a worker has opened, and how it serves it. */
export interface Service<A extends Api<A>> {
  readonly handlers: A;
  /** Ends what is under way and closes what is open. */
  readonly close: () => void | Promise<void>;
}

/**
 * In a worker: opens what it serves when it is told to, then answers calls, each as soon as its handler has its
 * result.
 * @param open gets the worker's data; what it throws is told to the main thread
 */
export function serve<A extends Api<A>, D>(open: (data: D) => Service<A>): void {
  const port = parentPort;
  invariant(port !== null, 'this module runs in a worker');
  const tell = (message: FromWorker): void => port.postMessage(message);
  let service: Service<A> | undefined;
  const start = (): void => {
    try {
      service = open(workerData as D);
      tell({ kind: 'ready' });
    } catch (error) {
      tell({ kind: 'unready', error: textOf(error) });
    }
  };
  port.on('message', (message: ToWorker) => {
    if (message === 'open') start();
    else if (message === 'close') void closeService(service).then(() => port.close());
    else if (service !== undefined) void answer(service, message).then(tell);
  });
}

/** An error when closing ends the worker, which the main thread is told. */
async function closeService<A extends Api<A>>(service: Service<A> | undefined): Promise<void> {
  await service?.close();
}

async function answer<A extends Api<A>>(
  { handlers }: Service<A>,
  { call, method, argument }: Request,
): Promise<FromWorker> {
  try {
    const handler: unknown = handlers[method as keyof A];
    invariant(typeof handler === 'function', `the worker serves ${method}`);
    return { kind: 'answer', call, value: await Reflect.apply(handler, undefined, [argument]) };
  } catch (error) {
    return { kind: 'failure', call, error: textOf(error) };
  }
}

function textOf(error: unknown): ErrorText {
  return { code: error instanceof AppError ? error.code : undefined, message: describeError(error) };
}

function errorOf({ code, message }: ErrorText): Error {
  return code === undefined ? new Error(message) : new AppError(code, message);
}

export interface WorkerOptions {
  readonly url: URL;
  /** For people, in errors. */
  readonly name: string;
  readonly data: unknown;
  /** Its module is loaded at once, but it opens what it serves only when this is settled. */
  readonly after?: Promise<unknown> | undefined;
  /** Called once when the worker died by itself; every pending call has failed by then. */
  readonly onFault: (error: AppError) => void;
}

/** A worker seen from the main thread. */
export interface WorkerLink<A extends Api<A>> {
  /** @throws what the handler threw, or AppError `system` when the worker died or was closed */
  call<K extends keyof A & string>(
    method: K,
    argument: Argument<A[K]>,
    transfer?: readonly TransferListItem[],
  ): Promise<Result<A[K]>>;
  /** Lets the worker close what it opened, and waits for its end. Repeated calls share one closing. */
  close(): Promise<void>;
  /** Ends the worker wherever it is; pending calls fail. */
  terminate(): Promise<void>;
}

interface PendingCall {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Starts a worker whose module calls `serve`, and waits until it has opened what it serves.
 * @throws what its opening threw
 */
export async function connectWorker<A extends Api<A>>(options: WorkerOptions): Promise<WorkerLink<A>> {
  const worker = new Worker(options.url, { name: options.name, workerData: options.data });
  const ready = Promise.withResolvers<void>();
  // Nobody waits for it when what comes before fails.
  ready.promise.catch(() => undefined);
  const link = new Link<A>(worker, options, ready);
  try {
    await options.after;
    worker.postMessage('open' satisfies ToWorker);
    await ready.promise;
  } catch (error) {
    await worker.terminate();
    throw error;
  }
  return link;
}

class Link<A extends Api<A>> implements WorkerLink<A> {
  readonly #worker: Worker;
  readonly #options: WorkerOptions;
  readonly #ready: PromiseWithResolvers<void>;
  readonly #pending = new Map<number, PendingCall>();
  readonly #exited = Promise.withResolvers<void>();
  #calls = 0;
  #isReady = false;
  #isClosing = false;
  #fault: AppError | undefined;

  constructor(worker: Worker, options: WorkerOptions, ready: PromiseWithResolvers<void>) {
    this.#worker = worker;
    this.#options = options;
    this.#ready = ready;
    worker.on('message', (message: FromWorker) => this.#receive(message));
    worker.on('error', (cause) => {
      this.#die(new AppError('system', `${options.name} died: ${describeError(cause)}`, { cause }));
    });
    worker.on('exit', (code) => {
      const how = this.#isClosing ? 'is closed' : `ended by itself with exit code ${code}`;
      this.#die(new AppError('system', `${options.name} ${how}`));
      this.#exited.resolve();
    });
  }

  call<K extends keyof A & string>(
    method: K,
    argument: Argument<A[K]>,
    transfer: readonly TransferListItem[] = [],
  ): Promise<Result<A[K]>> {
    if (this.#fault !== undefined) return Promise.reject(this.#fault);
    if (this.#isClosing) return Promise.reject(new AppError('system', `${this.#options.name} is closed`));
    const call = this.#calls;
    this.#calls += 1;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#worker.postMessage({ call, method, argument } satisfies Request, transfer);
    this.#pending.set(call, { resolve, reject });
    return promise as Promise<Result<A[K]>>;
  }

  async close(): Promise<void> {
    if (!this.#isClosing && this.#fault === undefined) {
      this.#isClosing = true;
      this.#worker.postMessage('close' satisfies ToWorker);
    }
    await this.#exited.promise;
  }

  async terminate(): Promise<void> {
    this.#isClosing = true;
    await this.#worker.terminate();
  }

  #receive(message: FromWorker): void {
    if (message.kind === 'ready') {
      this.#isReady = true;
      this.#ready.resolve();
    } else if (message.kind === 'unready') {
      this.#ready.reject(errorOf(message.error));
    } else {
      const pending = this.#pending.get(message.call);
      this.#pending.delete(message.call);
      if (message.kind === 'answer') pending?.resolve(message.value);
      else pending?.reject(errorOf(message.error));
    }
  }

  #die(error: AppError): void {
    if (this.#fault !== undefined) return;
    this.#fault = error;
    this.#ready.reject(error);
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    if (this.#isReady && !this.#isClosing) this.#options.onFault(error);
  }
}

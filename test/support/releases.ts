import { createReadStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import fastify from 'fastify';
import type { Server } from '../../controller/api/context.ts';
import { refusalOf, sendRefusal } from '../../controller/api/errors.ts';
import { addReleaseRoutes } from '../../controller/api/routes/releases.ts';
import { compileValidator } from '../../controller/api/validation.ts';
import { openReleases } from '../../controller/releases/open-releases.ts';
import type { Releases } from '../../controller/releases/releases.ts';
import { openFleetStore } from '../../controller/store/fleet-store.ts';
import { createReleaseStore } from '../../controller/store/release-store.ts';
import { packageRoot } from '../../shared/package.ts';
import type { Signature } from '../../shared/protocol/release.ts';
import { encodeRelease, type ReleaseFile } from '../../shared/release/build.ts';
import { hashBlob } from '../../shared/release/hash-blob.ts';
import type { Keyring } from '../../shared/release/keyring.ts';
import type { ReleaseManifest } from '../../shared/release/manifest.ts';
import { createKeyPair, signBytes } from '../../shared/release/signature.ts';
import { type ManualClock, manualClock } from './clock.ts';
import { silentLog } from './controller.ts';

export const BUNDLED_FAMILY = join(packageRoot(), 'models/families/fashion-mnist');
export const BUNDLED_BACKBONE = join(packageRoot(), 'models/backbones/fashion-mnist/backbone.safetensors');

/** Who publishes in the tests. */
export const PUBLISHER = createKeyPair();
const ROOT = createKeyPair();

/** A keyring with one publisher. */
export function keyringOf(change: Partial<Keyring> = {}): Keyring {
  return {
    ...{ format: 1, document: 'keyring', version: 1, createdTs: 0 },
    roots: [ROOT.publicKey],
    publishers: [{ name: 'ci', ...PUBLISHER.publicKey }],
    revoked: [],
    ...change,
  };
}

export interface ReleaseWorld extends AsyncDisposable {
  readonly releases: Releases;
  readonly clock: ManualClock;
  /** What the controller knows, and what the tests change. */
  readonly facts: { keyring: Keyring | undefined; needed: Set<string>; freeBytes: number | undefined };
}

/** Releases of a state folder, on the real database. */
export async function openReleaseWorld(stateDir: string, clock = manualClock()): Promise<ReleaseWorld> {
  const facts: ReleaseWorld['facts'] = { keyring: keyringOf(), needed: new Set(), freeBytes: undefined };
  const fleet = openFleetStore(stateDir);
  const releases = await openReleases({
    ...{ stateDir, clock, store: createReleaseStore(fleet.sqlite) },
    keyring: () => facts.keyring,
    isNeeded: (kind, { name, version }) => facts.needed.has(`${kind} ${name} ${version}`),
    freeBytes: async () => facts.freeBytes ?? 2 ** 40,
  });
  return {
    ...{ releases, clock, facts },
    [Symbol.asyncDispose]: async () => {
      await releases[Symbol.asyncDispose]();
      fleet[Symbol.dispose]();
    },
  };
}

/** Bytes that are signed, and by whom. */
export function signed(manifest: ReleaseManifest): { bytes: Uint8Array; signature: Signature } {
  const bytes = encodeRelease(manifest);
  return { bytes, signature: signBytes(PUBLISHER.privatePem, bytes) };
}

/** Puts files where `publish` looks for them. */
export async function putFiles(releases: Releases, files: readonly ReleaseFile[]): Promise<void> {
  for (const { path } of files) {
    const { sha256, bytes } = await hashBlob(path);
    await releases.putBlob(sha256, createReadStream(path), bytes);
  }
}

export interface ReleaseServer extends AsyncDisposable {
  readonly url: string;
}

/** The routes of releases on a real server; it asks for no token. */
export async function serveReleases(releases: Releases): Promise<ReleaseServer> {
  const server: Server = fastify({
    bodyLimit: 1024 * 1024,
    forceCloseConnections: true,
  }).withTypeProvider<TypeBoxTypeProvider>();
  server.setValidatorCompiler(compileValidator);
  server.setSerializerCompiler(() => (value) => JSON.stringify(value));
  server.setErrorHandler((error, _request, reply) => sendRefusal(reply, refusalOf(error, silentLog)));
  addReleaseRoutes(server, { releases });
  const url = await server.listen({ host: '127.0.0.1', port: 0 });
  return { url, [Symbol.asyncDispose]: () => server.close() };
}

/** A folder of private keys with that of the publisher. */
export async function writeKeys(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, 'ci.key'), PUBLISHER.privatePem, { mode: 0o600 });
  return folder;
}

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { metaOf, openAgentDatabase } from '../../../agent/store/database.ts';
import { openTrust } from '../../../agent/trust/trust.ts';
import { signKeyring } from '../../../shared/release/keyring.ts';
import { formatRootFile } from '../../../shared/release/roots.ts';
import { createKeyPair, type PublicKey } from '../../../shared/release/signature.ts';
import { silentLog } from '../../support/controller.ts';
import { type KeyPair, keyringOf, signingWorld } from '../../support/signing.ts';
import { temporaryFolder } from '../../support/temp.ts';

const { root, keyring, message } = signingWorld();
const newRoot = createKeyPair();

/** A device with a state folder and a file of pinned roots. */
async function createDevice() {
  const folder = await temporaryFolder();
  const database = openAgentDatabase(folder.path);
  const rootFile = join(folder.path, 'root.pub');
  const meta = metaOf(database);
  return {
    ...{ meta, database, rootFile },
    pin: (...roots: readonly PublicKey[]) => writeFile(rootFile, formatRootFile(roots)),
    start: () => openTrust({ meta, rootFile, log: silentLog }),
    [Symbol.asyncDispose]: async () => {
      database.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

function versionBy(version: number, of: KeyPair, ...signers: readonly KeyPair[]) {
  return signKeyring(
    keyringOf(of, { version }),
    signers.map(({ privatePem }) => privatePem),
  );
}

test('a device takes the keyring of its pinned root, once, and still has it after a restart', async () => {
  await using device = await createDevice();
  await device.pin(root.publicKey);
  const trust = await device.start();
  expect(trust.keyring()).toBeUndefined();
  expect([await trust.accept(message), await trust.accept(message)]).toEqual([true, false]);
  const again = await device.start();
  expect(again.keyring()).toEqual(keyring);
  expect(await again.accept(message)).toBe(false);
  await expect(again.accept(versionBy(1, root, root))).rejects.toThrow(/other content/);
});

test('a keyring that is not good leaves the one in force', async () => {
  await using device = await createDevice();
  await device.pin(root.publicKey);
  const trust = await device.start();
  await trust.accept(message);
  await expect(trust.accept(versionBy(2, newRoot, newRoot))).rejects.toThrow(/no good signature/);
  expect(trust.keyring()).toEqual(keyring);
});

test('a root that was rotated out counts no more, although it is still pinned', async () => {
  await using device = await createDevice();
  await device.pin(root.publicKey);
  const trust = await device.start();
  await trust.accept(versionBy(2, newRoot, root, newRoot));
  const again = await device.start();
  await expect(again.accept(versionBy(3, root, root))).rejects.toThrow(/no good signature/);
  expect(await again.accept(versionBy(3, newRoot, newRoot))).toBe(true);
});

test('an operator who pins a root that is in force, or writes the file anew, forgets nothing', async () => {
  await using device = await createDevice();
  await device.pin(root.publicKey);
  await (await device.start()).accept(versionBy(2, newRoot, root, newRoot));
  await device.pin(root.publicKey);
  expect((await device.start()).keyring()?.version).toBe(2);
  await device.pin(newRoot.publicKey);
  expect((await device.start()).keyring()?.version).toBe(2);
});

test('an operator who pins other roots begins anew, with any version', async () => {
  await using device = await createDevice();
  await device.pin(root.publicKey);
  await (await device.start()).accept(versionBy(7, root, root));
  await device.pin(newRoot.publicKey);
  const trust = await device.start();
  expect(trust.keyring()).toBeUndefined();
  await expect(trust.accept(versionBy(8, root, root))).rejects.toThrow(/no good signature/);
  expect(await trust.accept(versionBy(1, newRoot, newRoot))).toBe(true);
});

test('a wiped device with an old root pinned follows while that root signs along, else needs the new one', async () => {
  await using device = await createDevice();
  await device.pin(root.publicKey);
  const trust = await device.start();
  await expect(trust.accept(versionBy(5, newRoot, newRoot))).rejects.toThrow(/no good signature/);
  expect(await trust.accept(versionBy(5, newRoot, newRoot, root))).toBe(true);
});

test('without a file of roots nothing is trusted, not even what was before', async () => {
  await using device = await createDevice();
  await device.pin(root.publicKey);
  await (await device.start()).accept(message);
  const trust = await openTrust({ meta: device.meta, rootFile: undefined, log: silentLog });
  expect(trust.keyring()).toBeUndefined();
  await expect(trust.accept(message)).rejects.toThrow(/no root is pinned on this device/);
});

test('what was kept and cannot be read counts as absent', async () => {
  await using device = await createDevice();
  await device.pin(root.publicKey);
  device.meta.set('keyring', '{"message":');
  const trust = await device.start();
  expect(trust.keyring()).toBeUndefined();
  expect(await trust.accept(message)).toBe(true);
});

test('a keyring that cannot be kept is in force all the same', async () => {
  await using device = await createDevice();
  await device.pin(root.publicKey);
  const full = () => {
    throw new Error('database or disk is full');
  };
  const meta = { get: () => undefined, set: full };
  const trust = await openTrust({ meta, rootFile: device.rootFile, log: silentLog });
  expect(await trust.accept(message)).toBe(true);
  expect(trust.keyring()).toEqual(keyring);
});

test('a file of roots that says something else stops the start', async () => {
  await using device = await createDevice();
  await writeFile(device.rootFile, 'ofa-root AAAA\n');
  await expect(device.start()).rejects.toMatchObject({ code: 'config', message: /line 1/ });
});

test('a file of roots may be put there later: it is looked for when a keyring comes', async () => {
  await using device = await createDevice();
  const trust = await device.start();
  await expect(trust.accept(message)).rejects.toThrow(/no root is pinned.*put it into/);
  await device.pin(root.publicKey);
  expect(await trust.accept(message)).toBe(true);
  expect(trust.keyring()).toEqual(keyring);
});

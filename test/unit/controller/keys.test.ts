import { expect, test } from 'vitest';
import { createKeys } from '../../../controller/keys/keys.ts';
import type { RetainedMessage } from '../../../controller/link/retainer.ts';
import { openFleetStore } from '../../../controller/store/fleet-store.ts';
import { decodeMessage } from '../../../shared/protocol/messages.ts';
import { signKeyring } from '../../../shared/release/keyring.ts';
import { createKeyPair } from '../../../shared/release/signature.ts';
import { keyringOf, signingWorld } from '../../support/signing.ts';
import { temporaryFolder } from '../../support/temp.ts';

const { root, keyring, message } = signingWorld();
const second = signKeyring({ ...keyring, version: 2 }, [root.privatePem]);

test('the first keyring is trusted as it comes, later ones have to follow from it; each goes to the fleet', async () => {
  await using folder = await temporaryFolder();
  const retained: RetainedMessage[] = [];
  using store = openFleetStore(folder.path);
  const deps = { meta: store.meta, fleet: 'lab', retain: (one: RetainedMessage) => retained.push(one) };
  const keys = createKeys(deps);
  expect([keys.current(), keys.message()]).toEqual([undefined, undefined]);
  expect(keys.put(message)).toEqual(keyring);
  expect(keys.put(message)).toEqual(keyring);
  expect(keys.put(second).version).toBe(2);
  expect(retained).toHaveLength(2);

  const stranger = createKeyPair();
  const foreign = signKeyring(keyringOf(stranger, { version: 3 }), [stranger.privatePem]);
  expect(() => keys.put(foreign)).toThrow(expect.objectContaining({ code: 'invalid' }));
  expect(() => keys.put(message)).toThrow(expect.objectContaining({ code: 'conflict' }));

  const again = createKeys(deps);
  expect(again.current()).toEqual({ keyring: { ...keyring, version: 2 }, message: second });
  const sent = again.message();
  expect(sent).toEqual(retained[1]);
  expect(decodeMessage(sent?.topic ?? '', Buffer.from(sent?.payload ?? ''))).toMatchObject({
    ...{ ok: true, kind: 'keyring', parameters: { fleet: 'lab' }, payload: second },
  });
});

test('a first keyring that its own root has not signed is refused', async () => {
  await using folder = await temporaryFolder();
  using store = openFleetStore(folder.path);
  const keys = createKeys({ meta: store.meta, fleet: 'lab', retain: () => undefined });
  const unsigned = signKeyring(keyring, [createKeyPair().privatePem]);
  expect(() => keys.put(unsigned)).toThrow(/has not signed it/);
  expect(keys.current()).toBeUndefined();
});

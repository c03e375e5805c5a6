import {
  type Desired,
  DesiredSchema,
  type DeviceDesired,
  DeviceDesiredSchema,
  isNewer,
} from '../../shared/protocol/desired.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { Sqlite } from '../../shared/sqlite.ts';
import type { DesiredDocuments } from './resolve.ts';

/** The desired documents that this device has accepted; kept on disk, so that it starts without a network. */
export interface DesiredStore {
  current(): DesiredDocuments;
  /** Each answers whether the document was newer than what was there, and so was taken. */
  acceptFleet(document: Desired): boolean;
  acceptGroup(name: string, document: Desired): boolean;
  acceptDevice(document: DeviceDesired): boolean;
}

/** Called when a document was taken but could not be written: it is in force until the agent ends. */
export type OnUnkept = (error: unknown) => void;

/** Opens the store in the agent's database; a stored document that cannot be read counts as absent. */
export function openDesiredStore(database: Sqlite, onUnkept: OnUnkept): DesiredStore {
  const upsert = database.prepare(
    'INSERT INTO documents VALUES (?, ?) ON CONFLICT (scope) DO UPDATE SET body = excluded.body',
  );
  const forget = database.prepare('DELETE FROM documents WHERE scope = ?');
  let documents = load(database);
  const keep = (scope: string, document: Desired, left: readonly string[] = []): void => {
    try {
      upsert.run(scope, JSON.stringify(document));
      for (const name of left) forget.run(`group/${name}`);
    } catch (error) {
      onUnkept(error);
    }
  };
  return {
    current: () => documents,
    acceptFleet: (document) => {
      if (!isNewer(document.version, documents.fleet?.version)) return false;
      keep('fleet', document);
      documents = { ...documents, fleet: document };
      return true;
    },
    acceptGroup: (name, document) => {
      if (!isNewer(document.version, documents.groups.get(name)?.version)) return false;
      keep(`group/${name}`, document);
      documents = { ...documents, groups: new Map([...documents.groups, [name, document]]) };
      return true;
    },
    acceptDevice: (document) => {
      if (!isNewer(document.version, documents.device?.version)) return false;
      const followed = new Set(document.groups?.map(({ name }) => name));
      const left = [...documents.groups.keys()].filter((name) => !followed.has(name));
      keep('device', document, left);
      const groups = new Map([...documents.groups].filter(([name]) => followed.has(name)));
      documents = { ...documents, device: document, groups };
      return true;
    },
  };
}

function load(database: Sqlite): DesiredDocuments {
  const parseDesired = parserOf(DesiredSchema);
  const parseDevice = parserOf(DeviceDesiredSchema);
  const rows = database
    .prepare<[], { scope: string; body: string }>('SELECT scope, body FROM documents')
    .all();
  const groups = new Map<string, Desired>();
  let loaded: DesiredDocuments = { groups };
  for (const { scope, body } of rows) {
    try {
      if (scope === 'fleet') loaded = { ...loaded, fleet: parseJson(body, parseDesired, scope) };
      else if (scope === 'device') loaded = { ...loaded, device: parseJson(body, parseDevice, scope) };
      else groups.set(scope.slice('group/'.length), parseJson(body, parseDesired, scope));
    } catch {
      // Written by another version: the retained document comes again with the next connection.
    }
  }
  return loaded;
}

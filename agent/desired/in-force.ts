import type { Requirement, Settings } from '../../shared/protocol/requirement.ts';
import type { Sqlite } from '../../shared/sqlite.ts';
import { type DesiredStore, type OnUnkept, openDesiredStore } from './documents.ts';
import { createResolver, type Resolved } from './resolve.ts';

/** What the agent's own configuration states, for everything that no desired document does. */
export interface OwnDefaults {
  readonly requirement: Requirement;
  readonly settings: Required<Settings>;
}

/** The requirement and the settings in force: the desired documents over the agent's own configuration. */
export interface InForce {
  readonly documents: DesiredStore;
  resolved(): Resolved;
  requirement(): Requirement;
  settings(): Required<Settings>;
  /** What rollouts want of this device, unchecked. */
  orders(): { readonly family?: unknown; readonly program?: unknown };
  /** Resolves anew, after a document was accepted. */
  refresh(): void;
}

/** Opens the stored documents and resolves them. */
export function openInForce(database: Sqlite, defaults: OwnDefaults, onUnkept: OnUnkept): InForce {
  const documents = openDesiredStore(database, onUnkept);
  const resolve = createResolver();
  let resolved = resolve(documents.current(), defaults);
  return {
    documents,
    resolved: () => resolved,
    requirement: () => resolved.requirement,
    settings: () => ({ ...defaults.settings, ...resolved.settings }),
    orders: () => {
      const { family, program } = documents.current().device ?? {};
      return { family, program };
    },
    refresh: () => {
      resolved = resolve(documents.current(), defaults);
    },
  };
}

import type { ConfigSchema } from '../shared/config.ts';
import { AppError } from '../shared/errors.ts';

/** Whose releases this device takes, and by which way their files come. */
export interface UpdatesConfig {
  trust: { root: string | null };
  transfer: { url: string | null; tokenFile: string | null };
}

/** Schema of the part that updated families and programs need. */
export function updatesSchema(): ConfigSchema<UpdatesConfig> {
  return {
    trust: {
      root: {
        doc: "File with the public root keys of those who may publish ('ofa-fleet keys root'); without it no release is taken",
        format: 'text',
        nullable: true,
        default: null,
        env: 'OFA_AGENT_TRUST_ROOT',
        arg: 'trust-root',
      },
    },
    transfer: {
      url: {
        doc: 'Address of a web server that has the files of releases by their SHA-256, tried before MQTT',
        format: 'text',
        nullable: true,
        default: null,
        env: 'OFA_AGENT_TRANSFER_URL',
        arg: 'transfer-url',
      },
      tokenFile: {
        doc: 'File with the bearer token for that server',
        format: 'text',
        nullable: true,
        default: null,
        env: 'OFA_AGENT_TRANSFER_TOKEN_FILE',
        arg: 'transfer-token-file',
      },
    },
  };
}

/**
 * The address goes into log lines, so it must not carry a password.
 * @throws AppError `config`
 */
export function checkUpdates({ transfer: { url } }: UpdatesConfig): void {
  if (url === null) return;
  const parsed = URL.parse(url);
  if (parsed === null || !['http:', 'https:'].includes(parsed.protocol)) {
    throw new AppError(
      'config',
      `transfer url: '${url}' is no address of a web server; write for example https://files.example/blobs`,
    );
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw new AppError(
      'config',
      'transfer url: it holds a name or password; give a token in transfer.tokenFile',
    );
  }
}

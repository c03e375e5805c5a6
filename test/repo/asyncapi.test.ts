import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import specs from '@asyncapi/specs';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { packageRoot } from '../../shared/package.ts';
import { asyncApiDocument } from '../../shared/protocol/asyncapi.ts';
import { TOPIC_TEMPLATES } from '../../shared/protocol/topics.ts';

/** AsyncAPI's schema; the copy sheds a type that this project's strictness does not take. */
function officialSchema(): Record<string, unknown> {
  return { ...specs.schemasWithoutId['3.0.0'] };
}

let document: Record<string, unknown>;

beforeAll(async () => {
  document = parse(await readFile(join(packageRoot(), 'shared/protocol/asyncapi.yaml'), 'utf8'));
});

describe('shared/protocol/asyncapi.yaml', () => {
  test('is what the code generates', async () => {
    expect(document).toEqual(asyncApiDocument());
    await promisify(execFile)(process.execPath, [join(packageRoot(), 'deploy/generate.ts'), '--check']);
  });

  test("fits AsyncAPI's own schema of version 3.0.0", () => {
    const ajv = new Ajv({ strict: false, allErrors: true });
    addFormats.default(ajv);
    const validate = ajv.compile(officialSchema());
    validate(document);
    expect(validate.errors ?? []).toEqual([]);
  });

  test('is refused by that schema when an operation has no action', () => {
    const ajv = new Ajv({ strict: false });
    addFormats.default(ajv);
    const broken = { ...document, operations: { x: { channel: { $ref: '#/channels/status' } } } };
    expect(ajv.compile(officialSchema())(broken)).toBe(false);
  });

  test('names every topic, and every parameter of it', () => {
    const { channels } = asyncApiDocument();
    for (const [kind, address] of Object.entries(TOPIC_TEMPLATES)) {
      const names = Array.from(address.matchAll(/\{(\w+)\}/g), (match) => match[1]);
      expect(channels).toHaveProperty([kind, 'address'], address);
      for (const name of names) {
        expect(channels).toHaveProperty(
          [kind, 'parameters', name ?? '', 'description'],
          expect.stringMatching(/^(Id|SHA-256|Number) of/),
        );
      }
    }
  });

  test('has payloads that a validator of JSON Schema understands', () => {
    const ajv = new Ajv({ strict: false });
    const { messages } = document['components'] as { messages: Record<string, { payload: object }> };
    for (const { payload } of Object.values(messages)) expect(() => ajv.compile(payload)).not.toThrow();
    expect(
      ajv.validate(messages['status']?.payload ?? {}, {
        state: 'online',
        session: 's',
        bootId: '01234567',
        ts: 1,
      }),
    ).toBe(true);
    expect(
      ajv.validate(messages['status']?.payload ?? {}, {
        state: 'away',
        session: 's',
        bootId: '01234567',
        ts: 1,
      }),
    ).toBe(false);
  });
});

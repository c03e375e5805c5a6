import { isId } from './ids.ts';
import { CHUNK_BYTES, MAX_BLOB_BYTES, SHA256_PATTERN } from './release.ts';

/** Major version of the protocol; the first level after the root. */
export const PROTOCOL_VERSION = 1;
/** A message is at most this long, so that every broker carries it. */
export const MAX_MESSAGE_BYTES = 128 * 1024;

/**
 * Every topic of the protocol, as a template: the one place where topic strings stand.
 * `{name}` is one level.
 */
export const TOPIC_TEMPLATES = {
  controllerStatus: 'ofa/1/{fleet}/_ctl/status',
  fleetDesired: 'ofa/1/{fleet}/budget',
  groupDesired: 'ofa/1/{fleet}/groups/{group}/desired',
  status: 'ofa/1/{fleet}/d/{device}/status',
  desired: 'ofa/1/{fleet}/d/{device}/desired',
  reported: 'ofa/1/{fleet}/d/{device}/reported',
  telemetry: 'ofa/1/{fleet}/d/{device}/t',
  ack: 'ofa/1/{fleet}/d/{device}/t/ack',
  event: 'ofa/1/{fleet}/d/{device}/event',
  command: 'ofa/1/{fleet}/d/{device}/cmd/{id}',
  commandResult: 'ofa/1/{fleet}/d/{device}/cmd/{id}/result',
  keyring: 'ofa/1/{fleet}/keyring',
  want: 'ofa/1/{fleet}/d/{device}/want',
  chunk: 'ofa/1/{fleet}/blob/{sha256}/chunk/{n}',
} as const;

export type TopicKind = keyof typeof TOPIC_TEMPLATES;

type ParametersOf<T extends string> = T extends `${string}{${infer Name}}${infer Rest}`
  ? Name | ParametersOf<Rest>
  : never;

/** The values that the levels of a topic of this kind take. */
export type TopicParameters<K extends TopicKind> = Record<ParametersOf<(typeof TOPIC_TEMPLATES)[K]>, string>;

/** What a topic string means. */
export type ParsedTopic = { [K in TopicKind]: { kind: K; parameters: TopicParameters<K> } }[TopicKind];

/** Builds the topic of a kind; `+` as a parameter makes it a subscription filter. */
export function topicOf<K extends TopicKind>(kind: K, parameters: TopicParameters<K>): string {
  const values: Record<string, string> = parameters;
  return TOPIC_TEMPLATES[kind].replaceAll(/\{(\w+)\}/g, (_, name: string) => values[name] ?? '');
}

/** A level that is given, or the name of the parameter that stands there. */
type Level = { readonly at: number; readonly text: string };

const COMPILED = Object.entries(TOPIC_TEMPLATES).map(([kind, template]) => {
  const levels = template.split('/').map((text, at): Level => ({ at, text }));
  return {
    kind: kind as TopicKind,
    count: levels.length,
    literals: levels.filter(({ text }) => !text.startsWith('{')),
    parameters: levels
      .filter(({ text }) => text.startsWith('{'))
      .map(({ at, text }) => ({ at, text: text.slice(1, -1) })),
  };
});

const SHA256 = new RegExp(SHA256_PATTERN);
const CHUNK_NUMBER = /^(0|[1-9]\d{0,5})$/;

/** What a level may be, where it is not an id. */
const LEVEL_RULES: Readonly<Record<string, (level: string) => boolean>> = {
  sha256: (level) => SHA256.test(level),
  n: (level) => CHUNK_NUMBER.test(level) && Number(level) < MAX_BLOB_BYTES / CHUNK_BYTES,
};

function parametersOf(
  parameters: readonly Level[],
  levels: readonly string[],
): Record<string, string> | undefined {
  const values: Record<string, string> = {};
  for (const { at, text } of parameters) {
    const level = levels[at] ?? '';
    if (!(LEVEL_RULES[text] ?? isId)(level)) return undefined;
    values[text] = level;
  }
  return values;
}

/** Reads a topic; undefined when it is none of ours or one of its levels is not what it has to be. */
export function parseTopic(topic: string): ParsedTopic | undefined {
  const levels = topic.split('/');
  for (const { kind, count, literals, parameters } of COMPILED) {
    // What is given is compared first: every message comes by here, and most templates are not its own.
    if (count !== levels.length || literals.some(({ at, text }) => levels[at] !== text)) continue;
    const values = parametersOf(parameters, levels);
    if (values !== undefined) return { kind, parameters: values } as ParsedTopic;
  }
  return undefined;
}

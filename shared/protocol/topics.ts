import { isId } from './ids.ts';

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

const COMPILED = Object.entries(TOPIC_TEMPLATES).map(([kind, template]) => ({
  kind: kind as TopicKind,
  levels: template.split('/'),
}));

function matchLevels(
  template: readonly string[],
  levels: readonly string[],
): Record<string, string> | undefined {
  if (template.length !== levels.length) return undefined;
  const parameters: Record<string, string> = {};
  for (const [index, expected] of template.entries()) {
    const level = levels[index] ?? '';
    if (!expected.startsWith('{')) {
      if (expected !== level) return undefined;
    } else {
      if (!isId(level)) return undefined;
      parameters[expected.slice(1, -1)] = level;
    }
  }
  return parameters;
}

/** Reads a topic; undefined when it is none of ours or one of its levels is not an id. */
export function parseTopic(topic: string): ParsedTopic | undefined {
  const levels = topic.split('/');
  for (const { kind, levels: template } of COMPILED) {
    const parameters = matchLevels(template, levels);
    if (parameters !== undefined) return { kind, parameters } as ParsedTopic;
  }
  return undefined;
}

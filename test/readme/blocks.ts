/** Commands of one example of the README. */
export interface Example {
  /** Goes on while the next ones run: what a reader has in a terminal of its own. */
  readonly inBackground: boolean;
  readonly commands: readonly string[];
}

const BLOCK = /^```console(?<info>[^\n]*)\n(?<body>[\s\S]*?)^```$/gm;

/** Finds the ```console blocks of a document; lines that begin with `$ ` are commands, the others are output. */
export function examplesOf(markdown: string): Example[] {
  return [...markdown.matchAll(BLOCK)].map(({ groups }) => ({
    inBackground: groups?.['info']?.includes('terminal-1') ?? false,
    commands: (groups?.['body'] ?? '')
      .split('\n')
      .filter((line) => line.startsWith('$ '))
      .map((line) => line.slice(2)),
  }));
}

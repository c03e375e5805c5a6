/**
 * The first key that comes twice in one object of a JSON text; `JSON.parse` would silently keep the last.
 * @param text JSON that `JSON.parse` has accepted
 * @returns undefined where every key is there once
 */
export function repeatedKey(text: string): string | undefined {
  const keysOfOpenObjects: Set<string>[] = [];
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index];
    if (character === '{') keysOfOpenObjects.push(new Set());
    else if (character === '}') keysOfOpenObjects.pop();
    else if (character === '"') {
      const end = endOfString(text, index);
      const keys = keysOfOpenObjects.at(-1);
      if (keys !== undefined && isKey(text, end)) {
        const key: string = JSON.parse(text.slice(index, end));
        if (keys.has(key)) return key;
        keys.add(key);
      }
      index = end - 1;
    }
  }
  return undefined;
}

/** Place behind a string's closing quote. Not by a regular expression: a long string would fill its stack. */
function endOfString(text: string, begin: number): number {
  let index = begin + 1;
  while (index < text.length && text[index] !== '"') index += text[index] === '\\' ? 2 : 1;
  return index + 1;
}

function isKey(text: string, endOfName: number): boolean {
  let index = endOfName;
  while (' \t\r\n'.includes(text[index] ?? ':')) index += 1;
  return text[index] === ':';
}

import { appendFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AgentConfig, loadAgentConfig } from '../../agent/config.ts';
import { sha256 } from '../../shared/files.ts';
import { type ModelSpec, writeModel } from './onnx-models.ts';

/** A level of a family made for a test: a model, or bytes that are none. */
export type TestLevel = ModelSpec | 'broken';

/** Writes a family of 28 x 28 x 1 frames and 10 classes, one level for each spec; they differ in their bytes. */
export async function writeFamily(folder: string, levels: readonly TestLevel[]): Promise<void> {
  await mkdir(join(folder, 'blobs'), { recursive: true });
  const written = [];
  for (const [index, level] of levels.entries()) {
    const path = join(folder, `level-${index}`);
    if (level === 'broken') await writeFile(path, `this is no model ${index}`);
    else {
      await writeModel(path, level);
      await appendFile(path, docString(`level ${index}`));
    }
    const bytes = await readFile(path);
    const model = { sha256: sha256(bytes), bytes: bytes.length };
    await rename(path, join(folder, 'blobs', `${model.sha256}.onnx`));
    written.push({ model, accuracy: 0.5 + index / 100, macs: 1_000 + index });
  }
  const manifest = {
    format: 1,
    name: 'made-for-a-test',
    version: 1,
    task: 'image-classification',
    labels: Array.from({ length: 10 }, (_, index) => `class ${index}`),
    input: { name: 'image', type: 'uint8', shape: [1, 28, 28, 1] },
    output: { name: 'logits', type: 'float32', shape: [1, 10] },
    levels: written,
    provenance: {},
  };
  await writeFile(join(folder, 'family.json'), JSON.stringify(manifest));
}

/** The field `doc_string` of a model, which may stand at its end: levels that are alike differ by it. */
function docString(text: string): Uint8Array {
  return Buffer.concat([Buffer.of(0x32, text.length), Buffer.from(text)]);
}

/** The configuration of an agent of a family, all else as it comes. */
export function configOf(stateDir: string, family: string): AgentConfig {
  const flags = { fleet: 'lab', device: 'jetson-1', 'state.dir': stateDir, 'family.dir': family };
  return loadAgentConfig({ env: {}, flags }).values;
}

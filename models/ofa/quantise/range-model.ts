import { floatLayers } from '../graph/float-layers.ts';
import { type InputForm, writeInput } from '../graph/input.ts';
import { writeNetwork } from '../graph/layers.ts';
import type { SubNetwork } from '../network.ts';
import { GraphBuilder } from '../onnx/graph.ts';
import { quantisedValues } from './int8-model.ts';
import { withBalancedStem, writeBalancedStem } from './stem.ts';

/**
 * The model whose outputs are all that an int8 model of the same sub-network quantises, in 32-bit floats: each
 * under its name of `quantisedTensors`.
 */
export function rangeModel(network: SubNetwork, form: InputForm): Uint8Array {
  const graph = new GraphBuilder('ranges');
  const image = writeInput(graph, network.space, network.architecture.r, form);
  const balanced = withBalancedStem(network);
  const layers = floatLayers(graph);
  writeNetwork(balanced, image, {
    ...layers,
    normalised: (x, layer, activation) =>
      layer === balanced.stem ? writeBalancedStem(graph, x, layer) : layers.normalised(x, layer, activation),
  });
  for (const { name } of quantisedValues(network)) {
    graph.output(
      name,
      'float32',
      ['N', 'C', 'H', 'W'].map((axis) => `${name}.${axis}`),
    );
  }
  return graph.encode();
}

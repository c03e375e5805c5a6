import type { SubNetwork } from '../network.ts';
import { GraphBuilder } from '../onnx/graph.ts';
import { floatLayers } from './float-layers.ts';
import { batchOf, type InputForm, writeInput } from './input.ts';
import { writeNetwork } from './layers.ts';

/**
 * A sub-network as an ONNX model for inference in 32-bit floats: `image` in, `logits` [N, classes] out. The
 * same sub-network gives the same bytes, on every machine.
 */
export function floatModel(network: SubNetwork, form: InputForm): Uint8Array {
  const graph = new GraphBuilder('sub-network');
  const image = writeInput(graph, network.space, network.architecture.r, form);
  const logits = writeNetwork(network, image, floatLayers(graph));
  graph.output(logits, 'float32', [batchOf(form), network.space.classes]);
  return graph.encode();
}

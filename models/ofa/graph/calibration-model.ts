import { type BatchNorm, NORM_EPSILON, type SubNetwork } from '../network.ts';
import { GraphBuilder } from '../onnx/graph.ts';
import { floatLayers, writeActivation, writeConvolution } from './float-layers.ts';
import { type InputForm, writeInput } from './input.ts';
import { type LayerWriter, writeNetwork } from './layers.ts';

/** The axes of [N, C, H, W] over which a batch norm's statistics are taken. */
const ALL_BUT_CHANNELS = { axes: { ints: [0, 2, 3] }, keepdims: { int: 1 } } as const;

/** Names of a batch norm's statistics as outputs of the calibration model, each [1, channels, 1, 1]. */
export function statisticNames({ name }: Pick<BatchNorm, 'name'>): { mean: string; variance: string } {
  return { mean: `${name}.batch_mean`, variance: `${name}.batch_variance` };
}

/**
 * A sub-network whose batch norms take the mean and the biased variance of the batch that runs, use them,
 * and give them out: what OFA's `set_running_statistics` does to a batch. It gives no logits; what comes
 * after the last batch norm is left out.
 */
export function calibrationModel(network: SubNetwork, form: InputForm): Uint8Array {
  const graph = new GraphBuilder('calibration');
  const image = writeInput(graph, network.space, network.architecture.r, form);
  const none = (x: string): string => x;
  writeNetwork(network, image, {
    ...normalisingLayers(graph),
    globalPool: none,
    convolution: none,
    classifier: none,
  });
  return graph.encode();
}

function normalisingLayers(graph: GraphBuilder): LayerWriter {
  return {
    ...floatLayers(graph),
    normalised: (x, { convolution, norm }, activation) =>
      writeActivation(
        graph,
        writeBatchNorm(graph, writeConvolution(graph, x, convolution), norm),
        activation,
      ),
  };
}

function writeBatchNorm(graph: GraphBuilder, x: string, norm: BatchNorm): string {
  const { name, weight, bias } = norm;
  const names = statisticNames(norm);
  const shape = [1, weight.length, 1, 1];
  const mean = graph.node('ReduceMean', [x], names.mean, ALL_BUT_CHANNELS);
  const centred = graph.node('Sub', [x, mean], `${name}.centred`);
  const squared = graph.node('Mul', [centred, centred], `${name}.squared`);
  const variance = graph.node('ReduceMean', [squared], names.variance, ALL_BUT_CHANNELS);
  for (const statistic of [mean, variance]) graph.output(statistic, 'float32', shape);
  const epsilon = graph.constant(`${name}.epsilon`, [], Float32Array.of(NORM_EPSILON));
  const deviation = graph.node(
    'Sqrt',
    [graph.node('Add', [variance, epsilon], `${name}.padded`)],
    `${name}.std`,
  );
  const gain = graph.constant(`${name}.weight`, shape, weight);
  const scale = graph.node('Div', [gain, deviation], `${name}.scale`);
  const scaled = graph.node('Mul', [centred, scale], `${name}.scaled`);
  return graph.node('Add', [scaled, graph.constant(`${name}.bias`, shape, bias)], name);
}

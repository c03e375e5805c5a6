import { AppError } from '../../shared/errors.ts';
import { type GraphProto, type ModelProto, onnx, type TensorProto } from '../ofa/onnx/proto.ts';
import { tensorsOf } from './walk.ts';
import { checkWire } from './wire.ts';

/** A decoded model. It is never changed: what is made of it is a copy that shares the weights. */
export interface DecodedModel {
  readonly proto: ModelProto;
  readonly graph: GraphProto;
  readonly irVersion: number;
  /** Version of ONNX's own operators; undefined where the model names none. */
  readonly opset: number | undefined;
}

const DEFAULT_DOMAINS: readonly string[] = ['', 'ai.onnx'];

/** Whether an operator is one of ONNX's own. */
export function isDefaultDomain(domain: string | null | undefined): boolean {
  return DEFAULT_DOMAINS.includes(domain ?? '');
}

/**
 * Decodes an ONNX file that comes from anywhere.
 * @param what names the file in errors
 * @throws AppError `invalid` where it is not one, is too large, or is not complete in itself
 */
export function decodeModel(bytes: Uint8Array, what: string): DecodedModel {
  checkWire(bytes, what);
  const proto = decodeProto(bytes, what);
  const { graph } = proto;
  if (graph === null || graph === undefined || (graph.node ?? []).length === 0) {
    throw new AppError('invalid', `${what}: not an ONNX model: it has no graph, or one without nodes`);
  }
  refuseExternalData(proto, graph, what);
  refuseOverloads(proto, what);
  const own = proto.opsetImport?.find(({ domain }) => isDefaultDomain(domain));
  return {
    proto,
    graph,
    irVersion: numberOf(proto.irVersion),
    opset: own === undefined ? undefined : numberOf(own.version),
  };
}

/** An integer of ONNX as a number; inexact beyond 2^53, which no size and no version reaches. */
export function numberOf(value: unknown): number {
  return value === null || value === undefined ? 0 : Number(String(value));
}

function decodeProto(bytes: Uint8Array, what: string): ModelProto {
  try {
    return onnx.ModelProto.decode(bytes);
  } catch (cause) {
    throw new AppError('invalid', `${what}: not an ONNX file`, { cause });
  }
}

/** A level of a family is one file; and the path in a model could lead anywhere. */
function refuseExternalData(proto: ModelProto, graph: GraphProto, what: string): void {
  const functionNodes = (proto.functions ?? []).flatMap(({ node }) => node ?? []);
  for (const tensor of tensorsOf({ ...graph, node: [...(graph.node ?? []), ...functionNodes] })) {
    if (!isExternal(tensor)) continue;
    throw new AppError(
      'invalid',
      `${what}: tensor "${tensor.name}" lies in another file; save the model as one file (save_as_external_data=False)`,
    );
  }
}

function isExternal({ dataLocation, externalData }: TensorProto): boolean {
  return dataLocation === onnx.TensorProto.DataLocation.EXTERNAL || (externalData ?? []).length > 0;
}

/** Which of two functions of one name a node means stands in a field that this decoder does not know. */
function refuseOverloads(proto: ModelProto, what: string): void {
  const seen = new Set<string>();
  for (const { domain, name } of proto.functions ?? []) {
    const key = JSON.stringify([domain, name]);
    if (seen.has(key)) throw new AppError('invalid', `${what}: has two functions of the name "${name}"`);
    seen.add(key);
  }
}

import { type Classifier, readClassifier } from '../import/classifier.ts';
import { type GraphProto, onnx } from '../ofa/onnx/proto.ts';
import { repeated } from './repeat.ts';
import { turned } from './turn.ts';

/**
 * What is wrong with a rehearsal. `slow`: the right answer, after `times` runs of the network. `wrong`: as
 * quick as ever, each class taken for the one after it. `none`: nothing, only the bytes are new.
 */
export type Fault =
  | { readonly kind: 'slow'; readonly times: number }
  | { readonly kind: 'wrong' }
  | { readonly kind: 'none' };

/**
 * Gives a level a fault. The input and the output are declared as before, the weights are there once; the
 * same model, fault and note give the same bytes.
 * @param model takes uint8 [1, H, W, C] and gives float32 [1, classes], as levels do
 * @param note for people, in the file
 * @param what names the model in errors
 * @throws AppError `invalid` where it is no such model
 */
export function withFault(model: Uint8Array, fault: Fault, note: string, what: string): Uint8Array {
  const classifier = readClassifier(model, what);
  const { proto } = classifier.model;
  return onnx.ModelProto.encode({ ...proto, docString: note, graph: faulty(classifier, fault) }).finish();
}

function faulty(classifier: Classifier, fault: Fault): GraphProto {
  switch (fault.kind) {
    case 'slow':
      return repeated(classifier, fault.times);
    case 'wrong':
      return turned(classifier);
    case 'none':
      return classifier.model.graph;
  }
}

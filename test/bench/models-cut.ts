import { extremeArchitecture } from '../../models/ofa/architecture.ts';
import type { Backbone } from '../../models/ofa/backbone.ts';
import { cutModel } from '../../models/ofa/cut.ts';
import { extractSubNetwork } from '../../models/ofa/extract.ts';
import { batchNorms } from '../../models/ofa/network.ts';
import { encodeRecipe, packStatistics, type Recipe } from '../../models/ofa/recipe.ts';
import { mobileNetV3Space } from '../../models/ofa/spaces.ts';
import { median } from '../../shared/statistics.ts';
import { bundledBackbone } from '../support/bundled.ts';
import { randomBackbone } from '../support/random-backbone.ts';
import { type Figure, judged } from './report.ts';

const CUTS = 9;
const CUT_BAR_MS = 200;
const RECIPE_BAR = 0.03;

/** Time to cut the largest sub-network of the w1.2 layout out of random weights in memory. */
export function cutFigure(): Figure {
  const backbone = randomBackbone(mobileNetV3Space({ widthMultiplier: 1.2 }), 1);
  const recipe = largestRecipe(backbone);
  const timesMs = Array.from({ length: CUTS }, () => {
    const startMs = performance.now();
    cutModel(backbone, recipe);
    return performance.now() - startMs;
  });
  return judged({ name: 'cut_ms', value: median(timesMs), unit: 'ms', better: 'lower', bar: CUT_BAR_MS });
}

/** Size of the largest sub-network's recipe relative to its fp32 ONNX file, of the bundled backbone. */
export async function recipeFigure(): Promise<Figure> {
  const backbone = await bundledBackbone();
  const recipe = largestRecipe(backbone);
  const value = encodeRecipe(recipe).length / cutModel(backbone, recipe).length;
  return judged({ name: 'recipe_ratio', value, unit: 'ratio', better: 'lower', bar: RECIPE_BAR });
}

function largestRecipe(backbone: Backbone): Recipe {
  const architecture = extremeArchitecture(backbone.space, 'largest');
  const network = extractSubNetwork(backbone, architecture);
  const statistics = new Map(batchNorms(network).map((norm) => [norm.name, norm]));
  const { frame } = backbone.space;
  return { backbone: backbone.id, architecture, frame, ...packStatistics(network, statistics) };
}

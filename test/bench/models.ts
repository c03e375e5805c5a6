import { cutFigure, recipeFigure } from './models-cut.ts';
import { searchFigures } from './models-search.ts';
import { stockFigures } from './models-stock.ts';
import type { Bench } from './report.ts';

/** What making families costs, and what the graphs are worth. */
export const modelsBench: Bench = {
  summary: 'cutting, recipes, search against the published one, and graphs against stock exports',
  measure: async () => [
    cutFigure(),
    await recipeFigure(),
    ...(await searchFigures()),
    ...(await stockFigures()),
  ],
};

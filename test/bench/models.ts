import { cutFigure, recipeFigure } from './models-cut.ts';
import { searchFigures } from './models-search.ts';
import { stockFigures } from './models-stock.ts';
import type { Bench } from './report.ts';

/** What making families costs, and what the graphs are worth. */
export const modelsBench: Bench = {
  summary: 'cutting, recipes, search against the published one, and graphs against stock exports',
  measure: async () => {
    // First, while nothing large is in memory: the garbage collector would have more to do.
    const search = await searchFigures();
    return [cutFigure(), await recipeFigure(), ...search, ...(await stockFigures())];
  },
};

import type { ApiContext, Server } from '../context.ts';
import { BudgetPatchSchema, SettingsPatchSchema, StatedListSchema, StatedSchema } from '../schemas.ts';

/** Budgets and settings: what is stated for the fleet, groups, selectors and devices. */
export function addStatedRoutes(server: Server, { desired }: ApiContext): void {
  server.get(
    '/v1/budgets',
    { schema: { tags: ['budgets'], summary: 'List stated budgets', response: { 200: StatedListSchema } } },
    () => ({ stated: desired.list('requirement') }),
  );
  server.patch(
    '/v1/budgets',
    {
      schema: {
        tags: ['budgets'],
        summary: 'State or clear fields of a budget',
        body: BudgetPatchSchema,
        response: { 200: StatedSchema },
      },
    },
    ({ body: { scope, ...patch } }) => desired.patchRequirement(scope, patch),
  );
  server.get(
    '/v1/settings',
    { schema: { tags: ['settings'], summary: 'List stated settings', response: { 200: StatedListSchema } } },
    () => ({ stated: desired.list('settings') }),
  );
  server.patch(
    '/v1/settings',
    {
      schema: {
        tags: ['settings'],
        summary: 'State or clear settings of agents',
        body: SettingsPatchSchema,
        response: { 200: StatedSchema },
      },
    },
    ({ body: { scope, ...patch } }) => desired.patchSettings(scope, patch),
  );
}

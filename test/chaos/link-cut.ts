import { systemClock } from '../../shared/clock.ts';
import { type AgentPlan, KillFleet } from '../support/kill-fleet.ts';
import { startProxy } from './proxy.ts';
import { type Finding, findingOf, type Scenario, type Stage, unless } from './scenario.ts';

/** What the outbox keeps, and how long nothing leaves it. */
const KEPT = '3s';
const CUT_MS = 10_000;
const CUTS = 2;

export const linkCutScenario: Scenario = {
  summary: 'the link is cut for longer than the outbox keeps records: the loss is a counted gap',
  run: linkCut,
};

async function linkCut({ did }: Stage): Promise<Finding> {
  await using proxy = await startProxy();
  const behind = (device: string, env: AgentPlan['env'] = {}): AgentPlan => ({
    device,
    brokerUrl: proxy.urlOf,
    env,
  });
  const aged = behind('aged', { OFA_AGENT_OUTBOX_AGE: KEPT });
  // With no room at all every record pushes out those that are still under way.
  const tight = behind('tight', { OFA_AGENT_OUTBOX_MIB: '0' });
  const agents = [aged, tight, behind('patient')];
  await using fleet = await KillFleet.start({ agents });
  for (let cut = 1; cut <= CUTS; cut += 1) {
    await fleet.waitForTraffic();
    proxy.cut();
    await systemClock.sleep(CUT_MS);
    const states = await Promise.all(agents.map(({ device }) => fleet.agentState(device)));
    did(`cut ${cut}: ${states.map(({ telemetry }) => telemetry.dropped).join(', ')} records dropped so far`);
    // A start amid a cut has a backlog of another boot, of which more is dropped.
    if (cut === CUTS) await fleet.killAndRestart('aged', 'patient');
    proxy.mend();
    await Promise.all(agents.map(({ device }) => fleet.waitUntilSettled(device)));
  }
  await fleet.stopAll();
  const finding = findingOf(fleet, { cuts: CUTS, cutMs: CUT_MS });
  const lost = Number(finding.figures['lost']);
  return {
    ...finding,
    problems: [...finding.problems, ...unless(lost > 0, 'nothing was lost, so nothing is shown')],
  };
}

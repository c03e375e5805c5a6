import { execFile, execFileSync } from 'node:child_process';
import { createServer } from 'node:net';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type AgentNow, createAgentMetrics } from '../../../agent/metrics/metrics.ts';
import type { OperationListener } from '../../../agent/operation/listener.ts';
import type { FrameAnswered } from '../../../agent/runtime/loop.ts';
import type { OperatingPoint } from '../../../agent/runtime/points.ts';
import { startMetricsListener } from '../../../shared/metrics-listener.ts';
import { stateFolder } from '../../support/agent.ts';
import { eventually, runAgent } from '../../support/agent-run.ts';
import { decisionFor, NO_READING, TWO_LEVELS } from '../../support/operation.ts';

const [CHEAP] = TWO_LEVELS as readonly [OperatingPoint, OperatingPoint];
const NOW: AgentNow = {
  software: '1.2.3',
  device: 'jetson-1',
  family: { name: 'fashion', version: 3, sha256: 'f'.repeat(64) },
  policy: 'ofa',
  slowdown: 1.25,
  price: 0.5,
  isDrifting: false,
  isLinkUp: true,
  isControllerOnline: false,
  waiting: { records: 7, ageMs: 1_500 },
  totals: { windows: 9, events: 1, dropped: 4, pending: 7 },
  lost: 2,
  rssBytes: 1_000,
};

const isPromtoolHere = ((): boolean => {
  try {
    execFileSync('promtool', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

/** A test with Prometheus' own checker; where that is absent the test is skipped, and its name says so. */
function testWithPromtool(name: string, body: () => Promise<void>): void {
  if (isPromtoolHere) test(name, body);
  else test.skip(`${name} [skipped: there is no promtool; install prometheus]`, () => undefined);
}

/** What it says of a text; empty when all is well. */
async function promtoolSays(text: string): Promise<string> {
  const running = promisify(execFile)('promtool', ['check', 'metrics']);
  running.child.stdin?.end(text);
  const { stdout, stderr } = await running;
  return stdout + stderr;
}

function answered(latencyMs: number, change: Partial<FrameAnswered> = {}): FrameAnswered {
  return {
    kind: 'done',
    decision: decisionFor(0),
    requirement: {},
    profile: TWO_LEVELS,
    budgetMs: 50,
    point: CHEAP,
    index: 0,
    logits: Float32Array.of(1, 2),
    latencyMs,
    runMs: latencyMs,
    missed: latencyMs > 50,
    nowMs: 0,
    correct: undefined,
    pixels: new Uint8Array(),
    ...change,
  };
}

function metricsThatHeard(tell: (listener: OperationListener) => void, now = NOW) {
  const metrics = createAgentMetrics(() => now);
  tell(metrics.hear({ view: () => ({ ...now, current: 0 }), energyOf: (_, runMs) => runMs / 1_000 }));
  return metrics;
}

const tellAll = (listener: OperationListener): void => {
  for (const latencyMs of [4, 40, 400]) listener.inference(answered(latencyMs));
  listener.switched(CHEAP, answered(4));
  listener.shed({ ...answered(4), kind: 'shed' });
  listener.violation('latency', 'begins', answered(4));
  listener.violation('latency', 'ends', answered(4));
  listener.skipped(3);
  listener.unreadable('no cable');
  listener.failed('no memory');
  listener.audited({ pe: 'cpu', level: 0, agreed: false });
  const energy = { energyJ: 2.5, energyOverMs: 1_000, powerQuality: 'measured' } as const;
  listener.reading({ ...NO_READING, ...energy, tempC: 61, powerW: 2.5, gpuFreqHz: 9e8 }, 1);
};

describe('the metrics of an agent', () => {
  test('count by operating point, in base units', async () => {
    const text = await metricsThatHeard(tellAll).text();
    const lines = [
      'ofa_agent_inferences_total{pe="cpu",level="0"} 3',
      'ofa_agent_misses_total{pe="cpu",level="0"} 1',
      'ofa_agent_inference_latency_seconds_bucket{le="0.005",pe="cpu",level="0"} 1',
      'ofa_agent_inference_latency_seconds_count{pe="cpu",level="0"} 3',
      'ofa_agent_inference_energy_joules_total{pe="cpu",level="0"} 0.444',
      'ofa_agent_energy_joules_total{quality="measured"} 2.5',
      'ofa_agent_switches_total 1',
      'ofa_agent_sheds_total 1',
      'ofa_agent_skipped_frames_total 3',
      'ofa_agent_failed_total 1',
      'ofa_agent_violations_total{limit="latency"} 1',
      'ofa_agent_audits_agreed_total{pe="cpu",level="0"} 0',
      'ofa_agent_temperature_celsius 61',
      'ofa_agent_slowdown_ratio 1.25',
      'ofa_agent_outbox_records 7',
      'ofa_agent_outbox_oldest_age_seconds 1.5',
      'ofa_agent_dropped_records_total 4',
      'ofa_agent_link_up 1',
      'ofa_agent_controller_online 0',
      `ofa_agent_family_info{family="fashion",version="3",sha256="${'f'.repeat(64)}",policy="ofa"} 1`,
    ];
    expect(text.split('\n')).toEqual(expect.arrayContaining(lines));
  });

  test('leave out what is not known, and say it again when it is', async () => {
    const metrics = metricsThatHeard(() => undefined, { ...NOW, waiting: { records: 0, ageMs: undefined } });
    const names = (text: string): string[] => text.split('\n').filter((line) => /^ofa_\w+ /.test(line));
    expect(names(await metrics.text()).join('\n')).not.toMatch(/oldest_age|temperature|power_watts/);
    const listener = metrics.hear({ view: () => ({ ...NOW, current: 0 }), energyOf: () => undefined });
    listener.reading({ ...NO_READING, tempC: 50 }, 0);
    expect(names(await metrics.text())).toContain('ofa_agent_temperature_celsius 50');
    listener.reading(NO_READING, 0);
    expect(names(await metrics.text()).join('\n')).not.toMatch(/temperature/);
  });

  testWithPromtool('are as Prometheus wants them', async () => {
    expect(await promtoolSays(await metricsThatHeard(tellAll).text())).toBe('');
    expect(await promtoolSays(await metricsThatHeard(() => undefined).text())).toBe('');
  });

  test('are scraped from a listener', async () => {
    const metrics = metricsThatHeard(tellAll);
    await using listener = await startMetricsListener({ host: '127.0.0.1', port: 0, ...metrics });
    const response = await fetch(listener.url);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(await response.text()).toContain('ofa_agent_switches_total 1\n');
  });
});

describe('an agent', () => {
  const NOWHERE = 'mqtt://127.0.0.1:1';

  test('serves its metrics on the port that it is given, and stops with one error when that is taken', async () => {
    await using folder = await stateFolder();
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', () => resolve()));
    const address = taken.address();
    const port = typeof address === 'object' ? String(address?.port) : '';
    const flags = { 'metrics.port': port };
    await expect(runAgent(folder.path, NOWHERE, { flags })).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining(port),
    });
    await new Promise((resolve) => taken.close(resolve));
    await using _agent = await runAgent(folder.path, NOWHERE, { flags });
    await eventually(async () => {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      expect(text).toMatch(/^ofa_agent_inferences_total\{pe="cpu",level="\d+"\} [1-9]/m);
      expect(text).toMatch(/^ofa_agent_queue_requests 0$/m);
      expect(text).toMatch(/^ofa_agent_link_up 0$/m);
    });
  });
});

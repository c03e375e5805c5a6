import type { Command } from 'commander';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseChoice } from '../../shared/cli/values.ts';
import { describeError } from '../../shared/errors.ts';
import type { RolloutDetail } from '../api/rollout-schemas.ts';
import type { Cli } from './context.ts';
import { addExamples } from './options.ts';
import { connectRollouts, type RolloutDeed } from './rollout-api.ts';
import { addRolloutStart } from './rollout-start.ts';
import { detailKey, formatProgress, printRollout, rolloutColumns } from './rollout-view.ts';
import { isAway } from './rollout-wait.ts';
import { parseId } from './values.ts';

const WATCH_MS = 1_000;
const CLEAR_SCREEN = '\u001b[H\u001b[2J';

/** Adds `rollout start`, `status`, `pause`, `resume`, `abort`, `undo` and `list`. */
export function addRollout(program: Command, cli: Cli): void {
  const rollout = program
    .command('rollout')
    .description('Releases on their way to devices: stages, gates, and the way back.');
  addRolloutStart(rollout, cli);
  addStatus(rollout, cli);
  addDeed(rollout, { deed: 'pause', does: 'Give no more orders; what is under way goes on.', cli });
  addDeed(rollout, { deed: 'resume', does: 'Go on with a rollout that was paused.', cli });
  addAbort(rollout, cli);
  const undo =
    'Have every device that took it go back to what it had before; also of a rollout that is over.';
  addDeed(rollout, { deed: 'undo', does: undo, cli });
  addList(rollout, cli);
}

function addList(rollout: Command, cli: Cli): void {
  const list = rollout
    .command('list')
    .description('List the rollouts, the newest first.')
    .action(async ({ output }: OutputOptions) => {
      const rows = await (await connectRollouts(cli)).list();
      cli.print({ rows, columns: rolloutColumns(cli.clock.now()), json: { rollouts: rows } }, output);
      if (rows.length === 0) cli.note('no rollouts');
    });
  addExamples(addOutput(list), 'rollout list', 'rollout list -o json');
}

function addStatus(rollout: Command, cli: Cli): void {
  const status = rollout
    .command('status')
    .description('Show a rollout: its state, what its gates measured, and every device.')
    .argument('<id>')
    .option('--watch', 'show it again whenever it changes, until it is over')
    .action(async (word: string, { output, watch }: OutputOptions & { watch?: true }) => {
      const id = parseId(word, 'ID');
      const api = await connectRollouts(cli);
      const first = await api.show(id);
      printRollout(cli, first, output);
      if (watch === true) await watchRollout(cli, { first, output, show: () => api.show(id) });
    });
  addExamples(addOutput(status), 'rollout status fashion-mnist-4', 'rollout status fashion-mnist-4 --watch');
}

type WatchingCli = Pick<Cli, 'clock' | 'stopped' | 'note' | 'print' | 'write'>;

interface Watching {
  readonly first: RolloutDetail;
  readonly output: OutputOptions['output'];
  readonly show: () => Promise<RolloutDetail>;
}

/** Until it is over, or the user wants no more; a controller that is away for a while is waited for. */
export async function watchRollout(cli: WatchingCli, { first, output, show }: Watching): Promise<void> {
  const end = new AbortController();
  void cli.stopped().then(() => end.abort());
  const lookAgain = lookerOf(cli, show);
  let last = first;
  while (!last.done && !end.signal.aborted) {
    await cli.clock.sleep(WATCH_MS, end.signal).catch(() => undefined);
    if (end.signal.aborted) return;
    const next = await lookAgain();
    if (next === undefined || detailKey(next) === detailKey(last)) continue;
    last = next;
    if (process.stdout.isTTY === true && output === 'table') cli.write(CLEAR_SCREEN);
    printRollout(cli, next, output);
  }
}

/** Tells once that the controller is away, and gives nothing until it is back. */
function lookerOf(cli: WatchingCli, show: Watching['show']): () => Promise<RolloutDetail | undefined> {
  let wasAway = false;
  return async () => {
    try {
      const rollout = await show();
      wasAway = false;
      return rollout;
    } catch (error) {
      if (!isAway(error)) throw error;
      if (!wasAway) cli.note(describeError(error));
      wasAway = true;
      return undefined;
    }
  };
}

interface Deed {
  readonly deed: RolloutDeed;
  readonly does: string;
  readonly cli: Cli;
}

function addDeed(rollout: Command, { deed, does, cli }: Deed): void {
  const command = rollout
    .command(deed)
    .description(does)
    .argument('<id>')
    .action(async (word: string, { output }: OutputOptions) => {
      const told = await (await connectRollouts(cli)).tell(parseId(word, 'ID'), deed);
      tellOf(cli, told, output);
    });
  addExamples(addOutput(command), `rollout ${deed} fashion-mnist-4`);
}

function addAbort(rollout: Command, cli: Cli): void {
  const abort = rollout
    .command('abort')
    .description('End a rollout before its time.')
    .argument('<id>')
    .option('--on-abort <deed>', 'revert or keep, whatever it was started with')
    .action(async (word: string, options: OutputOptions & { onAbort?: string }) => {
      const { onAbort, output } = options;
      const body =
        onAbort === undefined ? {} : { onAbort: parseChoice(onAbort, ['revert', 'keep'], '--on-abort') };
      tellOf(cli, await (await connectRollouts(cli)).tell(parseId(word, 'ID'), 'abort', body), output);
    });
  addExamples(
    addOutput(abort),
    'rollout abort fashion-mnist-4',
    'rollout abort fashion-mnist-4 --on-abort keep',
  );
}

/** One line is enough for people: `rollout status` shows the rest. */
function tellOf(cli: Cli, told: RolloutDetail, output: OutputOptions['output']): void {
  if (output === 'table') cli.note(formatProgress(told));
  else printRollout(cli, told, output);
}

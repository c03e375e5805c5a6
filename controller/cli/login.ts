import type { Command } from 'commander';
import { AppError } from '../../shared/errors.ts';
import { createApi } from './api.ts';
import type { Cli } from './context.ts';
import { parseUrl, removeLogin, saveLogin } from './credentials.ts';
import { addExamples } from './options.ts';

/** More than any token has; a file that was piped in by mistake is not sent anywhere. */
const TOKEN_CHARACTERS = 4_096;

/** Adds `login` and `logout`. */
export function addLogin(program: Command, cli: Cli): void {
  const login = program
    .command('login')
    .description(
      'Log in to a controller. The token is read from standard input, and kept for later commands.',
    )
    .argument('[url]', "address of the controller's API")
    .option('--url <url>', 'the same as an option')
    .action((url: string | undefined, options: { url?: string }) => logIn(cli, addressOf(url, options.url)));
  addExamples(login, 'login http://controller:7300 < token.txt');
  const logout = program
    .command('logout')
    .description('Forget the token that login kept.')
    .action(async () => {
      await removeLogin(cli.env);
      cli.note('logged out');
    });
  addExamples(logout, 'logout');
}

function addressOf(argument: string | undefined, option: string | undefined): string {
  if (argument !== undefined && option !== undefined) throw new AppError('usage', 'give the address once');
  const text = argument ?? option;
  if (text !== undefined) return parseUrl(text, 'URL');
  throw new AppError('usage', 'which controller? write for example: ofa-fleet login http://localhost:7300');
}

async function logIn(cli: Cli, url: string): Promise<void> {
  const token = (await cli.readSecret(`Token for ${url}: `)).trim();
  if (token === '') throw new AppError('usage', 'no token on standard input');
  if (token.length > TOKEN_CHARACTERS || !/^[\x21-\x7e]+$/.test(token)) {
    throw new AppError('usage', 'what came on standard input is not a token');
  }
  const { fleet, version } = await createApi({ url, token }).state();
  const path = await saveLogin(cli.env, { url, token });
  cli.note(`logged in to ${url} (fleet ${fleet}, version ${version}); kept in ${path}`);
}

import t from 'tap';
import { commandLine, commandNames } from '../../src/cli/commands.ts';

const namesOf = async (...args: string[]) => (await commandLine(args)).commands.map((command) => command.name());

t.test('a command is found under each of its names, by the file that it is in alone', async (t) => {
  for (const name of commandNames()) t.ok((await namesOf(name)).includes(name), name);
  t.same(await namesOf('status', '--help'), ['status']);
});

t.test('help, and whoever asks for what there is not, is told of all of them', async (t) => {
  for (const args of [[], ['help'], ['help', 'status'], ['--help'], ['stauts']])
    t.same(await namesOf(...args), commandNames(), args.join(' '));
});

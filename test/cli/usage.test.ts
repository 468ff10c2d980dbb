import t from 'tap';
import { at, folder } from './cli.ts';

const COMMANDS =
  'init run validate plan check status history logs predict pause continue retry skip cancel rollback'.split(' ');

t.test('help names every command, and each explains itself with an example', async (t) => {
  const { sluice } = at(folder(t), '/');
  const { code, stdout } = await sluice('--help');
  t.equal(code, 0);
  for (const name of COMMANDS) {
    t.match(stdout, new RegExp(`^  ${name} `, 'm'), name);
    const help = await sluice(name, '--help');
    t.equal(help.code, 0, name);
    t.match(help.stdout, `Usage: sluice ${name} `);
    t.match(help.stdout, /Examples?:\n {2}sluice /, `${name} has an example`);
  }
  t.notMatch(stdout, / demo/, 'what npm start runs is not a command of users');
});

t.test('the version is that of package.json', async (t) => {
  const { stdout, code } = await at(folder(t), '/').sluice('-V');
  t.equal(code, 0);
  t.match(stdout, /^\d+\.\d+\.\d+\n$/);
});

t.test('used wrongly is 2, says what is wrong, and prints nothing to standard output', async (t) => {
  const home = folder(t);
  const { sluice } = at(home, home);
  const wrong: [string[], RegExp][] = [
    [['nonsense'], /unknown command 'nonsense'/],
    [['status', '--nonsense'], /unknown option '--nonsense'/],
    [['init'], /missing required argument 'dir'/],
    [['status', 'shop'], /Expected Kind\/name, such as Service\/shop/],
    [['status', 'Service/Shop'], /Expected Kind\/name/],
    [['status', '--output', 'xml'], /Allowed choices are text, json, yaml/],
    [['plan', '--path', '../other'], /Expected a folder of the repository/],
    [['predict', 'Service/shop', '--url', 'nowhere'], /Expected a whole address/],
    [['predict', 'Workload/tomcat', '--url', 'http://a/'], /Workload\/tomcat has no versions/],
    [['status'], /no Git repository here or above/],
    [['status', '--repo', 'not/there'], /not\/there: no Git repository/],
    [['validate', 'not-there.yaml'], /there is no file or folder not-there\.yaml/],
    [['pause', 'Service/shop', 'shop-1'], /too many arguments/],
  ];
  for (const [args, message] of wrong) {
    const ended = await sluice(...args);
    t.equal(ended.code, 2, args.join(' '));
    t.match(ended.stderr, message);
    t.match(ended.stderr, /^error: /);
    t.equal(ended.stdout, '');
    t.notMatch(ended.stderr, /\n {4}at /, 'no stack trace');
  }
});

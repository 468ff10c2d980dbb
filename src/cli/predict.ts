import { type Command, InvalidArgumentError } from 'commander';
import type { ResourceId } from '../manifest/resource.ts';
import { explain } from '../plan/route.ts';
import { policyFromDocument } from '../status/goals.ts';
import { trafficText } from '../status/words.ts';
import { Failure, usage } from './failure.ts';
import { type RepositoryOptions, repositoryOptions, resourceArgument } from './options.ts';
import { note, print } from './print.ts';
import { openAnyBranch } from './repository.ts';
import { ageText, readStatus, requireStatus } from './status-branch.ts';

export function registerPredict(program: Command): void {
  repositoryOptions(program.command('predict'))
    .argument('<service>', 'its name, or Service/name', serviceArgument)
    .requiredOption('--url <url>', 'the address that somebody asks for', wholeUrl)
    .description('say which version of a service would answer a request')
    .addHelpText(
      'after',
      `
Nothing is sent. The traffic that was last observed is asked, by the rules that the router itself goes by.

Example:
  sluice predict search --url 'http://search.localhost:8080/?beta=1'`,
    )
    .action(async (service: ResourceId, options: RepositoryOptions & { url: string }) => {
      if (!service.startsWith('Service/'))
        throw usage(`${service} has no versions; name a service, such as Service/shop`);
      const repository = await openAnyBranch(options);
      const branch = await requireStatus(repository);
      const { traffic } = await readStatus(repository, branch, service);
      if (traffic === undefined)
        throw new Failure(`${service} takes no traffic yet; sluice status ${service} says why`);
      const policy = policyFromDocument(traffic);
      const answer = explain(policy, options.url);
      print(answer.kind === 'percent' ? trafficText(policy) : answer.version);
      const rule = answer.kind === 'percent' ? 'chosen anew for each request' : ruleText(answer.rule);
      note(`${rule}; traffic as of ${ageText(branch.at, Date.now())}`);
    });
}

const ruleText = (rule: number | undefined): string =>
  rule === undefined ? 'no rule matches: the default' : `rule ${rule + 1} matches`;

const serviceArgument = (text: string): ResourceId => resourceArgument(text.includes('/') ? text : `Service/${text}`);

function wholeUrl(text: string): string {
  if (!URL.canParse(text))
    throw new InvalidArgumentError('Expected a whole address, such as http://shop.localhost/?beta=1');
  return text;
}

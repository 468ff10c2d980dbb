/** `npm run fuzz -- [SUBJECT …] [--minutes N] [--seed N]`: tries inputs without end; exits with 1 when one did not hold. */
import { parseArgs } from 'node:util';
import { campaign, told } from './campaign.ts';
import { SUBJECTS } from './subjects.ts';

const { values, positionals } = parseArgs({
  options: { minutes: { type: 'string', default: '1' }, seed: { type: 'string', default: String(Date.now() % 1e6) } },
  allowPositionals: true,
});
const subjects = positionals.length > 0 ? positionals : Object.keys(SUBJECTS);
const unknown = subjects.find((name) => SUBJECTS[name] === undefined);
if (unknown !== undefined) throw new Error(`${unknown} is none of ${Object.keys(SUBJECTS).join(', ')}`);
const done = await campaign(subjects, Number(values.seed), Number(values.minutes) * 60_000);
for (const { subject, tried, cpu, findings } of done) {
  console.log(`${subject}: ${tried} inputs in ${cpu.toFixed(0)} s of processor time, ${findings.length} findings`);
  for (const finding of findings) console.log(`  ** ${told(finding)}`);
}
console.log(`seed ${values.seed}`);
process.exitCode = done.some(({ findings }) => findings.length > 0) ? 1 : 0;

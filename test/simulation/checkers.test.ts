/** A checker that cannot fail proves nothing: each is seen to fail on a bug that was planted, and on nothing else. */
import t from 'tap';
import { CHECKERS } from './checkers/all.ts';
import { historyOf, MUTANTS, plant } from './mutants.ts';
import { runHistory } from './run.ts';

t.setTimeout(300_000);

t.test('every invariant has a bug that breaks it', async (t) => {
  const broken = new Set(MUTANTS.map(({ breaks }) => breaks));
  t.strictSame(
    Object.keys(CHECKERS).filter((name) => !broken.has(name as keyof typeof CHECKERS)),
    [],
  );
});

for (const mutant of MUTANTS) {
  t.test(`${mutant.breaks}: ${mutant.bug}`, async (t) => {
    const history = historyOf(mutant);
    t.strictSame((await runHistory(history)).violations, [], 'without the bug nothing is found');
    const { violations } = await runHistory(history, {
      spoil: (world) => plant(mutant, world),
      until: mutant.breaks,
    });
    t.ok(
      violations.some(({ invariant }) => invariant === mutant.breaks),
      `its checker finds the bug; found were: ${violations.map(({ invariant, message }) => `${invariant}: ${message}`).join('; ')}`,
    );
  });
}

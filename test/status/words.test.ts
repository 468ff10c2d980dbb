import t from 'tap';
import { barText, durationText, oneLine, stageText, trafficText } from '../../src/status/words.ts';

t.test('durations name their two largest parts', async (t) => {
  const cases: [number, string][] = [
    [-5, '0s'],
    [0, '0s'],
    [449, '0.4s'],
    [9_999, '9.9s'],
    [38_999, '38s'],
    [60_000, '1m'],
    [252_000, '4m 12s'],
    [3_600_000, '1h'],
    [3_605_000, '1h'],
    [183_600_000, '2d 3h'],
  ];
  for (const [ms, text] of cases) t.equal(durationText(ms), text, String(ms));
});

t.test('a bar is full only when all is done, and empty only when nothing is', async (t) => {
  const cases: [number, number, string][] = [
    [0, 5, '░░░░░ 0/5'],
    [1, 100, '█░░░░ 1/100'],
    [3, 5, '███░░ 3/5'],
    [99, 100, '████░ 99/100'],
    [5, 5, '█████ 5/5'],
    [6, 5, '█████ 6/5'],
    [0, 0, '█████ 0/0'],
  ];
  for (const [done, total, text] of cases) t.equal(barText(done, total), text);
  t.equal(barText(1, 2, 10), '█████░░░░░ 1/2');
});

t.test('traffic in words', async (t) => {
  t.equal(trafficText({ kind: 'percent', weights: { v8: 10, v7: 90, v6: 0 } }), '10 % to v8, 90 % to v7');
  t.equal(trafficText({ kind: 'percent', weights: {} }), 'none');
  const rules = [{ version: 'v8', query: { beta: '1*', lang: 'de' } }];
  t.equal(trafficText({ kind: 'match', rules, default: 'v7' }), 'beta=1*&lang=de to v8, else v7');
  t.equal(trafficText({ kind: 'match', rules: [], default: 'v7' }), 'all to v7');
});

t.test('stages in words', async (t) => {
  t.equal(stageText(1, 3, '10 %'), 'stage 2 of 3 (10 %)');
  t.equal(stageText(0, 1, ''), 'stage 1 of 1');
});

t.test('one line stays one line within its limit', async (t) => {
  t.equal(oneLine(' a\r\n\tb\u0000\u2028c '), 'a b c');
  t.equal(oneLine('abcdef', 4), 'abc…');
});

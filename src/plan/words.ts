/** Goals, gates and traffic in words, shared by plans, status files and the terminal. */
import type { Check } from '../manifest/resource.ts';
import type { TrafficPolicy } from './live.ts';
import type { Gate, Goal, UnitsGoal } from './plan.ts';

/** `10 % to v8, 90 % to v7`; `beta=1* to v8, else v7`; a workload's one version has no name: `100 %`. */
export function trafficText(policy: TrafficPolicy): string {
  if (policy.kind === 'percent') {
    const shares = Object.entries(policy.weights).filter(([, percent]) => percent > 0);
    return shares.length === 0
      ? 'none'
      : shares.map(([version, percent]) => `${percent} %${version === '' ? '' : ` to ${version}`}`).join(', ');
  }
  const rules = policy.rules.map(({ version, query }) => `${queryText(query)} to ${version}`);
  return [...rules, `${rules.length === 0 ? 'all to' : 'else'} ${policy.default}`].join(', ');
}

function queryText(query: Record<string, string>): string {
  return Object.entries(query)
    .map(([key, glob]) => `${key}=${glob}`)
    .join('&');
}

/** `5 of revision ab12cd34ef`; `2 of revision ab12cd34ef as v8`; `none of v6`; traffic as `trafficText`. */
export function goalText(goal: Goal): string {
  if (goal.kind === 'traffic') return trafficText(goal.policy);
  if (goal.kind === 'members')
    return `${goal.size ?? 'all'} ${goal.controlPlane === undefined ? 'instances' : 'nodes'}${goal.size === undefined ? '' : ` of revision ${goal.revision}`}`;
  if (goal.kind === 'units') return unitsText(goal);
  const wanted = Object.entries(goal.want).filter(([, count]) => count > 0);
  if (wanted.length === 0) return goal.version === '' ? 'none' : `none of ${goal.version}`;
  const counts = wanted.map(([revision, count]) => `${count} of revision ${revision}`).join(', ');
  return goal.version === '' ? counts : `${counts} as ${goal.version}`;
}

/** `3 instances to ab12cd34ef: web-1, web-2, web-3`; `web-1 back to ab12cd34ef, undoing cd34ef56ab`. */
function unitsText({ want }: UnitsGoal): string {
  const units = Object.entries(want);
  const [first] = units;
  if (first === undefined) return 'nothing';
  const { to, undo } = first[1];
  const names = units
    .slice(0, NAMED)
    .map(([id]) => id)
    .join(', ');
  const more = units.length > NAMED ? ` and ${units.length - NAMED} more` : '';
  const how = undo.length === 0 ? `to ${to}` : `back to ${to}, undoing ${undo.join(', ')}`;
  return `${units.length} ${how}: ${names}${more}`;
}
const NAMED = 10;

/** `soak 600 s`, `check GET /health`, `wait for a continue`. */
export function gateText(gate: Gate): string {
  if (gate.kind === 'pause') return 'wait for a continue';
  if (gate.kind === 'soak') return `soak ${gate.seconds} s`;
  return `check ${checkText(gate.check)}`;
}

function checkText(check: Check): string {
  if ('command' in check) return check.command.join(' ');
  return `GET ${check.http.url ?? `${check.http.port === undefined ? '' : `:${check.http.port}`}${check.http.path ?? '/'}`}`;
}

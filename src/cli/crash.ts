/** What an operator that ends by an error of its own leaves for whoever looks into it: a report in the state folder, without secrets. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../error-text.ts';
import { redact } from '../git/errors.ts';
import type { OperatorOptions } from '../operator/options.ts';
import { type LogEntry, recorded } from '../operator/recorder.ts';
import { packageVersion } from './package.ts';
import { printError } from './print.ts';

const REPORT = 'crash.json';
const KEPT = 5;

interface CrashReport {
  at: string;
  sluice: string;
  node: string;
  pid: number;
  upSeconds: number;
  repo: string;
  error: { name: string; message: string; stack: string };
  /** The decision that was told last. */
  doing?: LogEntry;
  /** The last lines of the log, at every level. */
  log: LogEntry[];
}

/** The options with which the operator is to be run: what it tells is kept for the report. The last one's report is named. */
export function reportingCrashes(options: OperatorOptions): OperatorOptions {
  const { log, entries } = recorded(options.log, Date.now);
  nameReport(options, log);
  process.once('uncaughtException', (error: unknown) => {
    const path = writeReport(options, error, entries());
    const said = without(secretsOf(options), messageOf(error));
    printError(
      `the operator ended by an error of its own: ${said}; what it was doing stands in ${path}; it goes on where it was when it is started again`,
    );
    process.exit(1);
  });
  return { ...options, log };
}

function writeReport(options: OperatorOptions, thrown: unknown, entries: LogEntry[]): string {
  const { name, message, stack = '' } = thrown instanceof Error ? thrown : new Error(String(thrown));
  const doing = entries.findLast(({ data }) => Array.isArray(data?.actions));
  const report: CrashReport = {
    at: new Date().toISOString(),
    sluice: packageVersion(),
    node: process.version,
    pid: process.pid,
    upSeconds: Math.round(process.uptime()),
    repo: options.repo,
    error: { name, message, stack },
    ...(doing && { doing }),
    log: entries,
  };
  const secrets = secretsOf(options);
  const text = JSON.stringify(report, (_, value) => (typeof value === 'string' ? without(secrets, value) : value), 2);
  const path = join(options.stateDir, REPORT);
  try {
    mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
    writeFileSync(path, `${text}\n`, { mode: 0o600 });
    return path;
  } catch (error) {
    return `no report (${(error as Error).message})`;
  }
}

/** Once: it is put aside, and the oldest goes. */
function nameReport({ stateDir }: OperatorOptions, log: OperatorOptions['log']): void {
  const path = join(stateDir, REPORT);
  if (!existsSync(path)) return;
  try {
    const { at, error, doing } = JSON.parse(readFileSync(path, 'utf8')) as CrashReport;
    const aside = join(stateDir, `crash-${at.replace(/[^0-9TZ]/g, '')}.json`);
    renameSync(path, aside);
    const about = doing === undefined ? '' : `, when it had decided ${doing.message}`;
    log(
      'warn',
      `the operator before ended at ${at} by an error of its own: ${error.message}${about}; its report: ${aside}`,
    );
    const old = readdirSync(stateDir).filter((name) => /^crash-[0-9TZ]+\.json$/.test(name));
    for (const name of old.sort().slice(0, -KEPT)) rmSync(join(stateDir, name));
  } catch (error) {
    log('warn', `${path}, the report of a crash, cannot be read: ${(error as Error).message}`);
  }
}

/** Shorter ones would take ordinary words away. */
const LEAST = 4;
const LARGEST = 64 * 1024;

/** Every value that must not be told: the token, and all that lies in the secrets folder. */
function secretsOf({ secretsDir, repo }: OperatorOptions): string[] {
  const values = [
    process.env.SLUICE_GIT_TOKEN ?? '',
    URL.canParse(repo) ? decodeURIComponent(new URL(repo).password) : '',
  ];
  try {
    for (const entry of secretsDir === undefined
      ? []
      : readdirSync(secretsDir, { recursive: true, encoding: 'utf8' })) {
      const file = join(secretsDir ?? '', entry);
      const found = statSync(file);
      if (found.isFile() && found.size <= LARGEST) values.push(readFileSync(file, 'utf8').trim());
    }
  } catch {
    // What cannot be read is in nothing that was told.
  }
  return values.filter((value) => value.length >= LEAST);
}

function without(secrets: string[], text: string): string {
  return secrets.reduce((told, secret) => told.replaceAll(secret, '***'), redact(text));
}

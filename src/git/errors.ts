/** Errors of the Git layer: for the person who reads them, with a code for programs. No secret is ever in one. */
import type { Oid } from '../manifest/resource.ts';

export type GitErrorCode =
  | 'auth'
  | 'not-found'
  | 'busy'
  | 'server'
  | 'unreachable'
  | 'timeout'
  | 'bad-answer'
  | 'no-branch'
  | 'empty-repository'
  | 'unsupported'
  | 'no-git'
  | 'bad-address'
  | 'missing-object'
  | 'broken-clone'
  | 'ref-moved'
  | 'ref-locked'
  | 'bad-tree'
  | 'bad-lease'
  | 'push-rejected'
  | 'failed';

export class GitError extends Error {
  readonly code: GitErrorCode;
  /** How long the remote asked to be left alone, in milliseconds. */
  readonly retryAfterMs?: number;

  constructor(code: GitErrorCode, message: string, retryAfterMs?: number) {
    super(message);
    this.name = 'GitError';
    this.code = code;
    if (retryAfterMs !== undefined) this.retryAfterMs = retryAfterMs;
  }
}

export interface RejectedRef {
  ref: string;
  /** What the push expected the remote to hold; undefined: nothing. */
  expected: Oid | undefined;
  /** What the remote holds now, where it could be asked: undefined is nothing. Absent: unknown. */
  actual?: Oid | undefined;
  /** The remote's own words. */
  reason: string;
}

/** Refs that a message names at most. */
const MAX_NAMED = 5;

/** Nothing of the push was taken: some ref does not hold what was expected, or the remote refuses the change. */
export class PushRejected extends GitError {
  readonly refs: RejectedRef[];

  constructor(refs: RejectedRef[]) {
    const lines = refs
      .slice(0, MAX_NAMED)
      .map((ref) => `${ref.ref}: expected ${name(ref.expected)}${actually(ref)} (${ref.reason})`);
    if (refs.length > MAX_NAMED) lines.push(`and ${refs.length - MAX_NAMED} more`);
    super(
      'push-rejected',
      `the remote took nothing of the push: ${lines.join('; ')}; read these refs again, then retry`,
    );
    this.name = 'PushRejected';
    this.refs = refs;
  }
}

function name(oid: Oid | undefined): string {
  return oid === undefined ? 'no such ref' : oid.slice(0, 10);
}

function actually(ref: RejectedRef): string {
  return 'actual' in ref ? `, it holds ${name(ref.actual)}` : '';
}

/** `text` without user names and passwords in its addresses, for messages and logs. */
export function redact(text: string): string {
  return text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^/@\s]*@/gi, '$1');
}

const AUTH_REMEDY =
  'set SLUICE_GIT_TOKEN (and SLUICE_GIT_USERNAME where the host wants a user name) to a token that may read and write it';

/** What an HTTP status other than 200 means; `where` is a redacted address. */
export function httpError(status: number, where: string, retryAfter: string | undefined): GitError {
  const retryAfterMs = parseRetryAfter(retryAfter);
  if (status === 401 || status === 403) {
    if (status === 403 && retryAfterMs !== undefined)
      return new GitError('busy', `${where}: the host limits requests (403); asking again later`, retryAfterMs);
    return new GitError('auth', `${where}: access refused (${status}); ${AUTH_REMEDY}`);
  }
  if (status === 404 || status === 410)
    return new GitError('not-found', `${where}: no such repository (${status}); check --repo, or ${AUTH_REMEDY}`);
  if (status === 429 || status === 503)
    return new GitError('busy', `${where}: the host is busy (${status}); asking again later`, retryAfterMs);
  if (status >= 500)
    return new GitError('server', `${where}: the host failed (${status}); asking again later`, retryAfterMs);
  return new GitError('bad-answer', `${where}: answered ${status}, not as a Git repository; check --repo`);
}

/** No host can mean more, and no timer takes a month. */
const LONGEST_RETRY_MS = 3_600_000;

function parseRetryAfter(value: string | undefined): number | undefined {
  if (value === undefined || value === '') return undefined;
  const seconds = Number(value);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.min(LONGEST_RETRY_MS, Math.max(0, Math.round(ms))) : undefined;
}

/** First match wins; on what the `git` program and ssh print under LC_ALL=C. */
const PROGRAM_ERRORS: [RegExp, GitErrorCode, string][] = [
  [
    /not a git repository|bad object|unable to read|is corrupt|missing (blob|tree|commit)|did not send all necessary objects|unresolved deltas/i,
    'broken-clone',
    "the operator's own clone lacks objects; it is thrown away and cloned again",
  ],
  [
    /mismatched algorithms|unsupported object.?format|object format.*sha256/i,
    'unsupported',
    'its object format is not SHA-1, which Sluice cannot read; convert it',
  ],
  [
    /refstorage|unknown repository extension/i,
    'unsupported',
    'it uses an extension (such as reftable) that this git cannot read; convert it to the files format',
  ],
  [
    /dubious ownership/i,
    'auth',
    "it belongs to another user; run `git config --global --add safe.directory <path>` as the operator's user",
  ],
  [
    /Host key verification failed/i,
    'auth',
    "its host key is not known; add it to ~/.ssh/known_hosts of the operator's user",
  ],
  [
    /Permission denied \(|Authentication failed|could not read (Username|Password)|returned error: 40[13]|Too many authentication failures/i,
    'auth',
    `access refused; for ssh check the key of the operator's user, for https ${AUTH_REMEDY}`,
  ],
  [/returned error: 429|returned error: 503/i, 'busy', 'the host is busy; asking again later'],
  [/returned error: 5\d\d/i, 'server', 'the host failed; asking again later'],
  [/couldn't find remote ref/i, 'no-branch', 'it has no such branch; check --branch'],
  [
    /Repository not found|does not appear to be a git repository|not found|No such file or directory|returned error: 404/i,
    'not-found',
    'no such repository; check --repo',
  ],
  [
    /Connection refused|Could not resolve host|Couldn't connect|Failed to connect|Connection timed out|Network is unreachable|No route to host|Connection reset|Connection closed|Empty reply from server|unable to access|Broken pipe/i,
    'unreachable',
    'cannot be reached; check the network and --repo',
  ],
  [
    /early EOF|unexpected disconnect|hung up unexpectedly|bad pack|index-pack failed|inflate|RPC failed|protocol error|invalid server response|bad line length/i,
    'bad-answer',
    'broke off in the middle of an answer; asking again',
  ],
];

/** `remote: Counting objects:  20% (1/5)`: it is asked for so that a transfer that stands still is told from one that goes on. */
const PROGRESS = /^remote: (Enumerating objects|[A-Z][a-z]+ [a-z]+: +\d+%|Total \d)/;

/** What a failed run of the `git` program means. `stderr` may hold addresses: it is redacted. */
export function programError(doing: string, where: string, stderr: string, failure?: string): GitError {
  if (failure === 'timeout' || failure === 'silence')
    return new GitError('timeout', `${where}: no answer in time to ${doing}; asking again later`);
  const said = redact(stderr)
    .split(/[\r\n]+/)
    .filter((line) => /^(fatal|error|remote|ssh|.*denied)/i.test(line.trim()) && !PROGRESS.test(line.trim()))
    .slice(0, 3)
    .join(', ')
    .slice(0, 500);
  const detail = said || failure || redact(stderr).trim().slice(0, 300) || 'no message';
  for (const [pattern, code, remedy] of PROGRAM_ERRORS) {
    if (pattern.test(stderr)) return new GitError(code, `${where}: ${remedy} (${doing}: ${detail})`);
  }
  return new GitError('failed', `${where}: ${doing} failed: ${detail}`);
}

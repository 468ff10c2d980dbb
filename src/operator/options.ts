/** What `sluice run` is told. */
export interface OperatorOptions {
  /** A path, `file://`, `http(s)://`, `ssh://` or `user@host:path`. */
  repo: string;
  /** Absent: the branch that HEAD names. */
  branch?: string;
  /** The folder of the repository that holds the manifests; `''` is its root. */
  path: string;
  /** Milliseconds between polls. */
  intervalMs: number;
  /** Milliseconds between gathered pushes; absent: 10 s, and 0 for a repository on this machine. */
  pushIntervalMs?: number;
  /** A cache: may be lost. This repository's own. */
  stateDir: string;
  /** Where local targets keep their units unless they say otherwise; belongs to them. This repository's own. */
  dataDir: string;
  secretsDir?: string;
  router: { host: string; port: number };
  /** Starts nothing new. */
  paused: boolean;
  /** Settles what is declared, then ends. */
  once: boolean;
  /** The lease is held already, with this epoch: a standby has taken it. */
  epoch?: number;
  /** The lease is taken with no lower one: what targets remember of a repository that was made anew. */
  leastEpoch?: number;
  /** The user that units run as. */
  runAs?: string;
  /** Follows a remote branch although its history was rewritten. */
  acceptRewrite: boolean;
  /** A file of public keys: only commits that one of them has signed are worked from. */
  verifyKeys?: string;
  /** Every decision and everything that went wrong; the caller prints. */
  log: Log;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type Log = (level: LogLevel, message: string, data?: Record<string, unknown>) => void;

/** What became of the operator; `settled: false` with `once` when something did not reach what is declared. */
export interface Outcome {
  settled: boolean;
  message: string;
}

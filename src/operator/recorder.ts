/** The last of what an operator told, at every level: what it was doing, for the report of a crash. */
import type { Log, LogLevel } from './options.ts';

export interface LogEntry {
  at: string;
  level: LogLevel;
  message: string;
  data?: Record<string, unknown>;
}

const KEPT = 100;

export function recorded(log: Log, now: () => number): { log: Log; entries(): LogEntry[] } {
  const entries: LogEntry[] = [];
  return {
    log(level, message, data) {
      entries.push({ at: new Date(now()).toISOString(), level, message, ...(data && { data }) });
      if (entries.length > KEPT) entries.shift();
      log(level, message, data);
    },
    entries: () => entries,
  };
}

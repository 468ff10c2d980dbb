/**
 * Who answers requests goes before who starts: a replica that starts takes a core for a while. A system that parts its processor by
 * sessions (sched(7), autogroup) looks at the session's number alone, and each replica has a session of its own.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';

/** As `nice` has it: less than 0 goes before others. */
const FIRST = -10;
const BEHIND = 10;

const sessionOf = (pid: number | 'self'): string => `/proc/${pid}/autogroup`;

/** What takes a privilege or another system; without it, everybody is alike. Gives back the system's code where it does not. */
function attempt(change: () => void): string | undefined {
  try {
    change();
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}

/** Who may not set it at any time may do so ten times a second, all of them together. */
const AGAIN_MS = 150;

/** This process goes before others from now on. */
export function goFirst(): void {
  attempt(() => setPriority(FIRST));
  attempt(() => writeFileSync(sessionOf('self'), String(FIRST)));
}

/** The session that this process leads goes behind others until `goAbreast`. */
export function goBehind(pid: number): void {
  // Others would have to wait for their turn to take it back.
  if (process.geteuid?.() === 0) attempt(() => writeFileSync(sessionOf(pid), String(BEHIND)));
}

/** Whoever put it behind; what somebody else gave it stays. */
export function goAbreast(pid: number): void {
  const failed = attempt(() => {
    if (readFileSync(sessionOf(pid), 'utf8').trim().endsWith(` nice ${BEHIND}`)) writeFileSync(sessionOf(pid), '0');
  });
  if (failed === 'EAGAIN') setTimeout(goAbreast, AGAIN_MS, pid).unref();
}

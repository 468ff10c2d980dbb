/** Times in a status file. */
import type { Instant } from '../plan/live.ts';

/** ISO 8601, UTC, milliseconds: `2026-11-20T22:22:03.125Z`. */
export type Time = string;

export const toTime = (at: Instant): Time => new Date(at).toISOString();
export const fromTime = (time: Time): Instant => Date.parse(time);

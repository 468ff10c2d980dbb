/** The operator's log: lines for people on a terminal, JSON elsewhere. */
import pino from 'pino';
import type { Log, LogLevel } from '../operator/options.ts';
import { colours, onTerminal, print } from './print.ts';

export const LOG_LEVELS: LogLevel[] = ['debug', 'info', 'warn', 'error'];

const PAINT: Record<LogLevel, (text: string) => string> = {
  debug: colours.dim,
  info: (text) => text,
  warn: colours.yellow,
  error: colours.red,
};

export function createLog(level: LogLevel): Log {
  return onTerminal() ? linesFrom(level) : jsonFrom(level);
}

/** `22:31:07 Service/shop: rollout 7 Progressing, stage 2 of 3 (10 %)`. */
export function linesFrom(level: LogLevel, write: (line: string) => void = print): Log {
  const least = LOG_LEVELS.indexOf(level);
  return (at, text, data) => {
    if (LOG_LEVELS.indexOf(at) < least) return;
    const message = [data?.unit, text, data?.message].filter((part) => typeof part === 'string').join(': ');
    write(`${colours.dim(new Date().toTimeString().slice(0, 8))} ${PAINT[at](message)}`);
  };
}

function jsonFrom(level: LogLevel): Log {
  const logger = pino({ level, base: { pid: process.pid } }, pino.destination({ fd: 1, sync: true }));
  return (at, message, data) => logger[at](data ?? {}, message);
}

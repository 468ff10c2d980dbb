/** Lines that stay, and below them a few that are drawn anew. Not on a terminal: the lines that stay, alone. */
import logUpdate from 'log-update';
import { onTerminal, print } from './print.ts';

export interface Live {
  line(text: string): void;
  /** In place of what was shown before; empty: nothing. */
  show(text: string): void;
  /** Takes what is shown away and gives the terminal back. */
  end(): void;
}

export function openLive(): Live {
  if (!onTerminal()) return { line: print, show: () => {}, end: () => {} };
  let shown = '';
  const draw = () => (shown === '' ? logUpdate.clear() : logUpdate(shown));
  return {
    line(text) {
      logUpdate.persist(text);
      draw();
    },
    show(text) {
      shown = text;
      draw();
    },
    end() {
      logUpdate.clear();
      logUpdate.done();
    },
  };
}

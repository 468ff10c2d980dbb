/** Values that a shell would make something of. */
export const HOSTILE = [
  '',
  "it's",
  '"double" `tick` $(touch pwned) $HOME $1',
  'two\nlines\n\n',
  '\\n \\\\ \\c \\0101 %s %b',
  '-n',
  '*?[a]~ #!&;|<>(){}',
  'tab\tcarriage\rüñí 🚀',
];

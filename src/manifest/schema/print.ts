/** JSON as the project's formatter leaves it: maps over several lines, lists on one where they fit. */

const WIDTH = 120;

export function printJson(value: unknown, indent = '', column = 0): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    const isFlat = value.every((item) => typeof item !== 'object' || item === null);
    const line = `[${value.map((item) => JSON.stringify(item)).join(', ')}]`;
    // One more column for the comma that may follow.
    if (value.length === 0 || (isFlat && column + line.length + 1 <= WIDTH)) return line;
    return `[\n${value.map((item) => `${inner}${printJson(item, inner, inner.length)}`).join(',\n')}\n${indent}]`;
  }
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  if (entries.length === 0) return '{}';
  const lines = entries.map(([key, item]) => {
    const start = `${inner}${JSON.stringify(key)}: `;
    return start + printJson(item, inner, start.length);
  });
  return `{\n${lines.join(',\n')}\n${indent}}`;
}

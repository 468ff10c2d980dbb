/** `image.yaml` → what the image runs. */
import type { ParsedImage } from './image.ts';
import type { Image } from './resource.ts';
import { validate } from './validate.ts';
import { readYaml } from './yaml.ts';

/** Never throws, whatever the content. */
export function parseImage(content: string | Uint8Array): ParsedImage {
  const [document, second] = readYaml(content);
  if (document === undefined) return refuse('the file is empty; add command, such as "command: [node, server.js]"');
  if (document.errors.length > 0) return { diagnostics: document.errors };
  if (second !== undefined) return refuse('the file holds more than one document; keep one');
  const { value, locate } = document;
  const diagnostics = validate('image', value, locate);
  if (diagnostics.length > 0) return { diagnostics };
  return { runs: value as Pick<Image, 'command' | 'env' | 'drain'>, diagnostics };
}

const refuse = (message: string): ParsedImage => ({
  diagnostics: [{ at: [1, 1], path: '', severity: 'error', code: 'bad-image', message }],
});

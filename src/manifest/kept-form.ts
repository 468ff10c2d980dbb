/**
 * A parsed file as it is kept and handed between threads: one line, JSON followed by the texts that are left as such in it. Inside of
 * the JSON every quote of theirs would be escaped, and to read them would take twice as long as all else.
 */
import type { ParsedDocument, ParsedFile, ResourceDocument } from './parsed.ts';

/** Stands raw in no JSON. */
const SEPARATOR = '\t';

export function toLine(parsed: ParsedFile): string {
  const texts: string[] = [];
  const documents = parsed.documents.map((document) => {
    if (!hasTexts(document)) return document;
    texts.push(document.declares.template, document.declares.places);
    return { ...document, declares: { ...document.declares, template: '', places: '' } };
  });
  return [JSON.stringify({ ...parsed, documents }), ...texts].join(SEPARATOR);
}

/** Throws when it is no such line. Its texts are slices of it, for which nothing is copied. */
export function fromLine(line: string): ParsedFile {
  const [json = '', ...texts] = line.split(SEPARATOR);
  const parsed: ParsedFile = JSON.parse(json);
  let next = 0;
  for (const document of parsed.documents) {
    if (!hasTexts(document)) continue;
    document.declares.template = texts[next++] ?? '';
    document.declares.places = texts[next++] ?? '';
  }
  if (next !== texts.length) throw new Error(`${texts.length} texts, not ${next}`);
  return parsed;
}

type WithTexts = ResourceDocument & Required<Pick<ResourceDocument, 'declares'>>;

const hasTexts = (document: ParsedDocument): document is WithTexts =>
  document.declares !== undefined && 'template' in document.declares;
